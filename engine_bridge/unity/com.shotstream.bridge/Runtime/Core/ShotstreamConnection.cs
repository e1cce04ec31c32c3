using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Threading;

namespace Shotstream
{
    /// <summary>
    /// A connection to a server. It comes up, and back after an outage, by itself; poll it from the game's tick. Nothing
    /// blocks unless its name or an argument says so, and nothing is called from another thread.
    /// </summary>
    /// <example><code>
    /// using (var connection = new ShotstreamConnection(new ConnectionOptions { Role = Role.Director }))
    /// using (var frame = new ShotstreamFrame())
    /// {
    ///     connection.WaitConnected(5000);
    ///     connection.Cut("a red fox in the snow");
    ///     while (connection.Acquire(frame, 1000)) Show(frame.Data, frame.Width, frame.Height);
    /// }
    /// </code></example>
    public sealed class ShotstreamConnection : IDisposable
    {
        private const int KeptEvents = 256, KeptReceipts = 512;

        private delegate int Call(out uint request);

        private readonly ClientHandle _client;
        private readonly object _gate = new object();
        private readonly Queue<ShotstreamEvent> _events = new Queue<ShotstreamEvent>();
        private readonly Dictionary<uint, Receipt> _receipts = new Dictionary<uint, Receipt>();
        private readonly Queue<uint> _oldest = new Queue<uint>();
        private ShotstreamEvent _disconnected, _stream; // the latest; null while they do not hold
        private long _epoch;

        /// <summary>Begins to connect and returns.</summary>
        /// <exception cref="ShotstreamException">The options cannot work, or the library is of another version.</exception>
        /// <exception cref="DllNotFoundException">libshotstream_bridge is not where the runtime looks for it.</exception>
        public unsafe ShotstreamConnection(ConnectionOptions options)
        {
            if (options == null) throw new ArgumentNullException("options");
            if (IntPtr.Size != 8) throw new PlatformNotSupportedException("shotstream needs a 64-bit process");
            var config = new Native.Config();
            var result = Native.shs_client_config_init(ref config, (uint)sizeof(Native.Config), Native.AbiVersion);
            if (result < 0)
                throw new ShotstreamException((ErrorCode)result, "shotstream_bridge is of another version than these scripts");
            IntPtr client;
            using (var texts = new Texts())
            {
                var elsewhere = !string.IsNullOrEmpty(options.Endpoint) || !string.IsNullOrEmpty(options.ConnectionFile);
                config.ServerName = texts.Add(elsewhere ? null : options.ServerName);
                config.ConnectionFile = texts.Add(options.ConnectionFile);
                config.CtlEndpoint = texts.Add(options.Endpoint);
                config.Token = texts.Add(options.Token);
                config.CurveServerKey = texts.Add(options.ServerKey);
                config.CurvePublicKey = texts.Add(options.PublicKey);
                config.CurveSecretKey = texts.Add(options.SecretKey);
                config.ClientName = texts.Add(Short(options.ClientName));
                config.Engine = texts.Add(Short(options.Engine));
                config.Role = (uint)options.Role;
                config.PixelFormat = (uint)options.Format;
                config.Origin = (uint)options.Origin;
                config.Delivery = (uint)options.Delivery;
                config.QueueFrames = (uint)options.Queue;
                config.TtlMs = (uint)options.TtlMs;
                config.Flags = (options.Frames ? 0 : Native.ClientNoFrames)
                               | (options.SharedMemory ? 0 : Native.ClientNoShm)
                               | (options.HoldOnDisconnect ? Native.ClientHoldOnDisconnect : 0);
                result = Native.shs_client_create(ref config, out client);
            }
            if (result < 0)
                throw new ShotstreamException((ErrorCode)result, "these options cannot work: " + ResultName(result));
            _client = new ClientHandle(client);
        }

        /// <summary>The steady clock of this process, nanoseconds.</summary>
        public static long NowNs
        {
            get { return Native.shs_now_ns(); }
        }

        /// <summary>There is a connection at present.</summary>
        public bool IsConnected
        {
            get { return ReadStats().Connected != 0; }
        }

        /// <summary>The latest error in a sentence, "" for none.</summary>
        public unsafe string LastError
        {
            get
            {
                var buffer = new byte[1024];
                uint needed;
                var result = Native.shs_client_last_error(_client, buffer, (uint)buffer.Length, out needed);
                if (result < 0 && needed > buffer.Length)
                {
                    buffer = new byte[needed];
                    Native.shs_client_last_error(_client, buffer, needed, out needed);
                }
                fixed (byte* text = buffer) return Utf8.Text(text, buffer.Length);
            }
        }

        public ShotstreamStats Stats
        {
            get
            {
                var stats = ReadStats();
                return new ShotstreamStats(ref stats);
            }
        }

        /// <summary>Makes the connection anew now, when the game knows that the network has just come back.</summary>
        public void Reconnect()
        {
            Check(Native.shs_client_reconnect(_client));
        }

        /// <summary>Polls until there is a connection, for programs without a tick of their own.</summary>
        /// <exception cref="ShotstreamException">The server does not let this client in, or the time is over.</exception>
        public void WaitConnected(int timeoutMs)
        {
            PollUntil(() => IsConnected || (_disconnected != null && IsRefusal(_disconnected.Code)), timeoutMs);
            if (IsConnected) return;
            if (_disconnected != null && IsRefusal(_disconnected.Code))
                throw new ShotstreamException((ErrorCode)_disconnected.Code, _disconnected.Text);
            var why = LastError;
            throw new ShotstreamException(ErrorCode.Timeout,
                "no connection within " + timeoutMs + " ms" + (why == "" ? "" : ": " + why));
        }

        /// <summary>Polls until the server has granted the stream of frames; a cut made after that loses not one.</summary>
        /// <exception cref="ShotstreamException">The server refuses the stream, or the time is over.</exception>
        public void WaitFrames(int timeoutMs)
        {
            PollUntil(() => _stream != null, timeoutMs);
            if (_stream == null)
                throw new ShotstreamException(ErrorCode.Timeout, "no stream of frames within " + timeoutMs + " ms");
            if (_stream.Code < 0) throw new ShotstreamException((ErrorCode)_stream.Code, _stream.Text);
        }

        /// <summary>Leaves the server; takes at most half a second. Again does nothing.</summary>
        public void Dispose()
        {
            _client.Dispose();
        }

        // --- commands: each returns at once, and its receipt tells what becomes of it ------------------------------

        /// <summary>A named event of the story (trigger).</summary>
        public Receipt Trigger(string beat, IEnumerable<KeyValuePair<string, Value>> parameters = null)
        {
            using (var texts = new Texts())
            {
                var list = texts.Parameters(parameters);
                return Send("trigger", (out uint request) =>
                    Native.shs_trigger(_client, Utf8.Bytes(beat), list, (uint)list.Length, out request), true);
            }
        }

        /// <summary>A variable of the story (trigger).</summary>
        public Receipt SetVariable(string name, Value value)
        {
            return SetVariables(new[] { new KeyValuePair<string, Value>(name, value) });
        }

        /// <summary>Variables of the story, all or none, at most 64 (trigger).</summary>
        public Receipt SetVariables(IEnumerable<KeyValuePair<string, Value>> variables)
        {
            using (var texts = new Texts())
            {
                var list = texts.Parameters(variables);
                return Send("set variables", (out uint request) =>
                    Native.shs_set_variables(_client, list, (uint)list.Length, out request));
            }
        }

        /// <summary>A new shot (director). Seed -1 and 0 frames are left to the server.</summary>
        public Receipt Cut(string text, long seed = -1, int frames = 0, When when = When.Block)
        {
            return Send("cut", (out uint request) =>
                Native.shs_cut(_client, Utf8.Bytes(text), seed, (uint)frames, (uint)when, out request));
        }

        /// <summary>Other words for the shot on screen (director).</summary>
        public Receipt Prompt(string text)
        {
            return Send("prompt", (out uint request) => Native.shs_prompt(_client, Utf8.Bytes(text), out request));
        }

        /// <summary>The caption that all later shots share; "" removes it (director).</summary>
        public Receipt World(string text)
        {
            return Send("world", (out uint request) => Native.shs_world(_client, Utf8.Bytes(text), out request));
        }

        /// <summary>The first block of a shot ahead, off air (director); ready at <see cref="CommandState.Generated"/>.</summary>
        public Receipt Prepare(string text, long seed = -1, int frames = 0)
        {
            return Send("prepare", (out uint request) =>
                Native.shs_prepare(_client, Utf8.Bytes(text), seed, (uint)frames, out request));
        }

        /// <summary>Puts a prepared shot on air with the next frame (director).</summary>
        public Receipt Take(Receipt prepared)
        {
            return Control("take", Native.ControlTake, prepared.Command, 0);
        }

        /// <summary>Throws a prepared shot away; null: all of them (director).</summary>
        public Receipt Cancel(Receipt prepared = null)
        {
            return Control("cancel", Native.ControlCancel, prepared == null ? -1 : (long)prepared.Command, 0);
        }

        /// <summary>Stops making frames at the next block boundary, or goes on (operator).</summary>
        public Receipt Hold(bool held = true)
        {
            return Control(held ? "hold" : "resume", held ? Native.ControlHold : Native.ControlResume, 0, 0);
        }

        /// <summary>Drops every cut that has not begun (director).</summary>
        public Receipt Clear()
        {
            return Control("clear", Native.ControlClear, 0, 0);
        }

        /// <summary>Keeps a shot, or one frame of it, in the memory of later shots (director). -1: the newest, the whole.</summary>
        public Receipt Pin(int shot = -1, int frame = -1)
        {
            return Control("pin", Native.ControlPin, shot, frame);
        }

        /// <summary>Forgets a pin; -1, -1: all (director).</summary>
        public Receipt Unpin(int shot = -1, int frame = -1)
        {
            return Control("unpin", Native.ControlUnpin, shot, frame);
        }

        /// <summary>Goes back to where the <paramref name="shots"/>-th newest shot began, 1..16 (director).</summary>
        public Receipt Undo(int shots = 1)
        {
            return Control("undo", Native.ControlUndo, shots, 0);
        }

        /// <summary>Keeps the film as it stands (trigger). Names have letters, digits, _ and -.</summary>
        public Receipt Checkpoint(string name)
        {
            return Send("checkpoint", (out uint request) => Native.shs_checkpoint(_client, Utf8.Bytes(name), out request));
        }

        /// <summary>Goes back to a checkpoint (trigger).</summary>
        public Receipt Restore(string name)
        {
            return Send("restore", (out uint request) => Native.shs_restore(_client, Utf8.Bytes(name), out request));
        }

        /// <summary>Goes back to a checkpoint and on from there with other noise (director).</summary>
        public Receipt Branch(string name, long seed = -1)
        {
            return Send("branch", (out uint request) => Native.shs_branch(_client, Utf8.Bytes(name), seed, out request));
        }

        /// <summary>Drops a checkpoint (trigger).</summary>
        public Receipt Forget(string name)
        {
            return Send("forget", (out uint request) => Native.shs_forget(_client, Utf8.Bytes(name), out request));
        }

        /// <summary>Fetches a checkpoint for the game's own save-file (trigger): <see cref="Receipt.ReadBytes"/>.</summary>
        public Receipt Download(string name)
        {
            return Send("download", (out uint request) => Native.shs_download(_client, Utf8.Bytes(name), out request));
        }

        /// <summary>Hands the bytes of a checkpoint back (trigger).</summary>
        public Receipt Upload(string name, byte[] data)
        {
            if (data == null) throw new ArgumentNullException("data");
            return Send("upload", (out uint request) =>
                Native.shs_upload(_client, Utf8.Bytes(name), data, (ulong)data.LongLength, out request));
        }

        /// <summary>Asks what the story offers and how the server is (viewer): <see cref="Receipt.ReadText"/>.</summary>
        public Receipt Query(params Subject[] subjects)
        {
            uint bits = 0;
            foreach (var subject in subjects) bits |= 1u << (int)subject;
            return Send("query", (out uint request) => Native.shs_query(_client, bits, out request));
        }

        // --- frames ------------------------------------------------------------------------------------------------

        /// <summary>
        /// The next frame, with an <see cref="ShotstreamFrame.Id"/> of at least <paramref name="minFrame"/>; what
        /// <paramref name="frame"/> held is released first. Waits up to <paramref name="timeoutMs"/>.
        /// </summary>
        /// <returns>False when there is none.</returns>
        /// <exception cref="ShotstreamException">The server refuses the stream.</exception>
        public bool Acquire(ShotstreamFrame frame, int timeoutMs = 0, long minFrame = 0)
        {
            if (frame == null) throw new ArgumentNullException("frame");
            return frame.Fill(this, minFrame, timeoutMs);
        }

        internal bool Fill(ref Native.Frame frame, long minFrame, int timeoutMs)
        {
            return Check(Native.shs_frame_acquire(_client, (ulong)minFrame, (uint)timeoutMs, ref frame)) == Native.Ok;
        }

        internal bool Copy(ref Native.Frame frame, IntPtr target, int stride, long size)
        {
            var result = Native.shs_frame_copy(_client, ref frame, target, (uint)stride, (ulong)size);
            return result != Native.EOverrun && Check(result) == Native.Ok;
        }

        internal bool Release(ref Native.Frame frame)
        {
            if (_client.IsClosed) return true; // the library released it with the client
            var result = Native.shs_frame_release(_client, ref frame);
            return result != Native.EOverrun && Check(result) == Native.Ok;
        }

        // --- events ------------------------------------------------------------------------------------------------

        /// <summary>Brings receipts up to date. <see cref="NextEvent"/> does it too.</summary>
        public unsafe void Poll()
        {
            lock (_gate)
            {
                var item = new Native.Event();
                while (true)
                {
                    item.StructSize = (uint)sizeof(Native.Event);
                    if (Check(Native.shs_event_next(_client, ref item)) != Native.Ok) return;
                    Sort(new ShotstreamEvent(ref item));
                }
            }
        }

        /// <summary>The next event; null when there is none. The newest 256 are kept.</summary>
        public ShotstreamEvent NextEvent()
        {
            lock (_gate)
            {
                if (_events.Count == 0) Poll();
                return _events.Count == 0 ? null : _events.Dequeue();
            }
        }

        internal void PollUntil(Func<bool> condition, int timeoutMs)
        {
            var clock = Stopwatch.StartNew();
            while (true)
            {
                Poll();
                if (condition() || clock.ElapsedMilliseconds >= timeoutMs) return;
                Thread.Sleep(1);
            }
        }

        internal byte[] ReadAnswer(uint request)
        {
            ulong needed;
            var result = Native.shs_answer_read(_client, request, null, 0, out needed);
            if (result != (int)ErrorCode.TooLarge) Check(result);
            var bytes = new byte[needed];
            Check(Native.shs_answer_read(_client, request, bytes, needed, out needed));
            return bytes;
        }

        private void Sort(ShotstreamEvent item)
        {
            if (item.Kind == ConnectionEvent.Connected) OnConnected();
            if (item.Kind == ConnectionEvent.Stream) _stream = item;
            if (item.Kind == ConnectionEvent.Disconnected)
            {
                _disconnected = item;
                _stream = null;
            }
            Receipt receipt;
            if (item.Request != 0 && _receipts.TryGetValue(item.Request, out receipt))
            {
                if (item.Kind == ConnectionEvent.Answer) receipt.OnAnswer(item);
                if (item.Kind == ConnectionEvent.State) receipt.OnState(item);
                if (receipt.IsDone) _receipts.Remove(item.Request);
            }
            _events.Enqueue(item);
            if (_events.Count > KeptEvents) _events.Dequeue();
        }

        private void OnConnected()
        {
            _disconnected = null;
            var epoch = (long)ReadStats().Epoch;
            if (_epoch != 0 && _epoch != epoch)
            {
                foreach (var receipt in new List<Receipt>(_receipts.Values))
                {
                    if (!receipt.IsAnswered) continue; // the library answers it itself
                    _receipts.Remove(receipt.Request);
                    receipt.OnServerRestarted();
                }
            }
            _epoch = epoch;
        }

        private Receipt Send(string name, Call call, bool moves = false)
        {
            lock (_gate) // the answer must not come before its receipt is known
            {
                uint request;
                Check(call(out request));
                var receipt = new Receipt(this, name, request, moves);
                _receipts[request] = receipt;
                _oldest.Enqueue(request);
                if (_oldest.Count > KeptReceipts) _receipts.Remove(_oldest.Dequeue());
                return receipt;
            }
        }

        private Receipt Control(string name, uint what, long a, long b)
        {
            return Send(name, (out uint request) => Native.shs_control(_client, what, a, b, out request));
        }

        private unsafe Native.Stats ReadStats()
        {
            var stats = new Native.Stats { StructSize = (uint)sizeof(Native.Stats) };
            Check(Native.shs_client_stats(_client, ref stats));
            return stats;
        }

        private int Check(int result)
        {
            if (result >= 0) return result;
            var text = LastError;
            throw new ShotstreamException((ErrorCode)result, text == "" ? ResultName(result) : text);
        }

        private static bool IsRefusal(int code)
        {
            return code == (int)ErrorCode.Auth || code == (int)ErrorCode.Version || code == (int)ErrorCode.Denied ||
                   code == (int)ErrorCode.Invalid;
        }

        /// <summary>As many characters as the protocol takes.</summary>
        private static string Short(string name)
        {
            return name == null || name.Length <= 64 ? name : name.Substring(0, char.IsHighSurrogate(name[63]) ? 63 : 64);
        }

        private static string ResultName(int result)
        {
            return Utf8.Text(Native.shs_result_name(result));
        }
    }
}
