// What a game does with a server, one scenario a run: the first argument. Facts go to standard output, a line each.
using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Threading;
using Shotstream;

internal static class Scenarios
{
    private const int Patience = 60000; // milliseconds; nobody waits for it when things work

    private static int Main(string[] arguments)
    {
        try
        {
            Run(arguments);
            return 0;
        }
        catch (ShotstreamException error)
        {
            Say("refused {0} {1} {2}", error.Code, error.Name, error.Message);
            return 3;
        }
    }

    private static void Run(string[] arguments)
    {
        switch (arguments[0])
        {
            case "hello":
                Hello();
                break;
            case "token":
                Token(arguments[1], arguments[2]);
                break;
            case "frames":
                Frames(arguments[1], arguments[2], arguments[3], arguments[4]);
                break;
            case "states":
                States();
                break;
            case "saves":
                Saves();
                break;
            case "refusals":
                Refusals();
                break;
            case "restart":
                Restart();
                break;
            case "dispose":
                Dispose();
                break;
            default:
                throw new ArgumentException(arguments[0]);
        }
    }

    private static ConnectionOptions Options(Role role)
    {
        return new ConnectionOptions { Role = role, ClientName = "scenarios", Delivery = Delivery.Lossless };
    }

    private static ShotstreamConnection Connect(ConnectionOptions options)
    {
        var connection = new ShotstreamConnection(options);
        connection.WaitConnected(Patience);
        if (options.Frames) connection.WaitFrames(Patience);
        return connection;
    }

    private static void Hello()
    {
        using (var connection = Connect(Options(Role.Trigger)))
        {
            var stats = connection.Stats;
            Say("connected {0} {1} {2} {3}x{4} {5} {6}", stats.IsConnected, stats.Connections, stats.Bundle, stats.Width,
                stats.Height, stats.FramesPerSecond, stats.Role);
            Say("epoch {0}", stats.Epoch);
            Say("clock {0}", stats.ClockOffsetNs + ShotstreamConnection.NowNs);
            Say("error '{0}'", connection.LastError);
            var query = connection.Query(Subject.Status, Subject.Variables);
            query.WaitAnswer(Patience);
            Say("answer {0}", query.ReadText());
        }
    }

    private static void Token(string endpoint, string token)
    {
        var options = Options(Role.Director);
        options.Endpoint = endpoint;
        options.Token = token;
        using (Connect(options)) Say("connected");
    }

    private static void Frames(string format, string origin, string memory, string path)
    {
        var options = Options(Role.Director);
        options.Format = (PixelFormat)Enum.Parse(typeof(PixelFormat), format);
        options.Origin = (Origin)Enum.Parse(typeof(Origin), origin);
        options.SharedMemory = memory == "shared";
        if (options.SharedMemory) options.Delivery = Delivery.Queue; // what waits in a spool does not lie in the ring
        options.Queue = 2; // fewer frames under way than the ring has slots, so that none is overwritten
        using (var connection = Connect(options))
        using (var frame = new ShotstreamFrame())
        using (var file = File.Create(path))
        {
            var cut = connection.Cut("ein roter Fuchs im Schnee: \u96ea", 5, 48);
            cut.WaitAnswer(Patience);
            for (var taken = 0; taken < 48; taken++)
            {
                if (!connection.Acquire(frame, Patience)) throw new TimeoutException();
                var pixels = new byte[frame.PackedSize];
                if (!frame.CopyTo(pixels)) throw new InvalidDataException("torn");
                file.Write(pixels, 0, pixels.Length);
                Say("frame {0} {1} {2} {3} {4} {5} {6} {7} {8} {9} {10}", frame.Id, frame.Source, frame.Shot, frame.FrameInShot,
                    frame.Block, frame.Command == cut.Command, frame.IsCut, frame.Dropped, frame.Seed, frame.Time,
                    frame.Location);
            }
            try
            {
                frame.CopyTo(new byte[frame.PackedSize - 1]);
            }
            catch (ShotstreamException error)
            {
                Say("too small {0}", error.Code);
            }
            frame.Release();
            frame.Release();
            Say("held {0} {1}", frame.IsHeld, frame.Data);
        }
    }

    private static void States()
    {
        using (var connection = Connect(Options(Role.Operator)))
        using (var frame = new ShotstreamFrame())
        {
            var changes = 0;
            var cut = connection.Cut("a fox", 1, 9);
            cut.Changed += receipt => changes++;
            while (!cut.Reached(CommandState.Presented)) Watch(connection, frame, cut);
            frame.Release();
            Say("cut {0} command {1} frame {2} changes {3}", cut.State, cut.Command, cut.Frame, changes >= 5);
            foreach (CommandState state in Enum.GetValues(typeof(CommandState)))
                Say("latency {0} {1}", state, cut.LatencyMs(state));
            Accepted(connection.World("in the snow"));
            Accepted(connection.Hold());
            Accepted(connection.Hold(false));
            Accepted(connection.Clear());
            var kinds = new SortedSet<string>();
            for (var item = connection.NextEvent(); item != null; item = connection.NextEvent())
                kinds.Add(item.Kind == ConnectionEvent.Connected ? "Connected" : item.Kind.ToString());
            Say("events {0}", string.Join(" ", kinds));
        }
    }

    private static void Saves()
    {
        using (var connection = Connect(Options(Role.Director)))
        using (var frame = new ShotstreamFrame())
        {
            connection.Cut("a fox", 3).WaitAnswer(Patience);
            for (var taken = 0; taken < 5; taken++) connection.Acquire(frame, Patience);
            var saved = connection.Checkpoint("inn");
            Accepted(saved);
            var download = connection.Download("inn");
            Accepted(download);
            var bytes = download.ReadBytes();
            Say("whole {0} shot {1}", bytes.Length > 0 && bytes.Length == saved.Bytes, saved.Shot);
            Accepted(connection.Forget("inn"));
            Refused(() => connection.Restore("inn").WaitAnswer(Patience));
            Accepted(connection.Upload("inn", bytes));
            while (frame.Source < saved.Frame) connection.Acquire(frame, Patience);
            Accepted(connection.Restore("inn"));
            while ((frame.Flags & FrameFlags.Restored) == 0) connection.Acquire(frame, Patience);
            Say("back {0} {1}", frame.Source == saved.Frame, frame.Id > frame.Source);
            var owl = connection.Prepare("an owl", 9, 30);
            while (!owl.Reached(CommandState.Generated)) Watch(connection, frame, owl);
            var take = connection.Take(owl);
            while (!take.Reached(CommandState.Presented)) Watch(connection, frame, take);
            Say("owl {0} {1} {2}", frame.Shot, frame.Seed, take.Frame == owl.Frame);
        }
    }

    private static void Watch(ShotstreamConnection connection, ShotstreamFrame frame, Receipt receipt)
    {
        connection.Acquire(frame, 10);
        connection.Poll();
        if (receipt.Error != null) throw receipt.Error;
    }

    private static void Accepted(Receipt receipt)
    {
        receipt.WaitAnswer(Patience);
        Say("{0} accepted {1}", receipt.Name, receipt.IsAccepted);
    }

    private static void Refusals()
    {
        var options = Options(Role.Viewer);
        options.Frames = false;
        using (var connection = Connect(options))
        {
            Refused(() => connection.Cut("a fox").WaitAnswer(Patience));
            Refused(() => connection.Cut(new string('x', 70000)));
            Refused(() => connection.Undo(17));
            Refused(() => connection.SetVariable("no name", new Value()));
            Refused(() => connection.Prompt("a\0fox"));
            Say("error '{0}'", connection.LastError != "");
        }
        Refused(() => new ShotstreamConnection(new ConnectionOptions { Queue = 0 }));
        Refused(() => new ShotstreamConnection(new ConnectionOptions { Endpoint = "tcp://192.0.2.1:5570", Token = "t" }));
        using (var connection = new ShotstreamConnection(new ConnectionOptions { ServerName = "nobody" }))
        {
            Refused(() => connection.Cut("a fox"));
            Refused(() => connection.WaitConnected(50));
            connection.Dispose();
            Refused(() => connection.Cut("a fox"));
        }
    }

    private static void Refused(Action action)
    {
        try
        {
            action();
            Say("done");
        }
        catch (ShotstreamException error)
        {
            Say("refused {0} {1}", error.Name, error.Message != "");
        }
        catch (Exception error)
        {
            Say("refused {0}", error.GetType().Name);
        }
    }

    // Says "frames N" for each frame with its number, and "connected" and "disconnected" as they come; ends with the input.
    private static void Restart()
    {
        var ended = new ManualResetEvent(false);
        new Thread(() =>
        {
            Console.In.ReadToEnd();
            ended.Set();
        }) { IsBackground = true }.Start();
        using (var connection = new ShotstreamConnection(Options(Role.Director)))
        using (var frame = new ShotstreamFrame())
        {
            Receipt waiting = null;
            while (!ended.WaitOne(0))
            {
                for (var item = connection.NextEvent(); item != null; item = connection.NextEvent())
                {
                    if (item.Kind == ConnectionEvent.Disconnected) Say("disconnected {0}", (ErrorCode)item.Code);
                    if (item.Kind != ConnectionEvent.Connected) continue;
                    if (waiting != null) Say("before {0}", waiting.Error == null ? "lives" : waiting.Error.Code.ToString());
                    Say("connected {0}", item.Count);
                    connection.Cut("a fox", 3);
                    waiting = connection.Cut("an owl", -1, 0, When.ShotEnd); // the fox has no end
                }
                if (connection.Acquire(frame, 10)) Say("frame {0} {1}", frame.Id, frame.Source);
            }
        }
    }

    private static void Dispose()
    {
        var connection = Connect(Options(Role.Director));
        var held = new ShotstreamFrame();
        connection.Cut("a fox").WaitAnswer(Patience);
        if (!connection.Acquire(held, Patience)) throw new TimeoutException();
        Say("ready");
        Console.In.ReadLine(); // the server hangs from here on
        var other = new Thread(() =>
        {
            var frame = new ShotstreamFrame();
            try
            {
                while (connection.Acquire(frame, 200)) frame.Release(); // what came before
            }
            catch (ObjectDisposedException)
            {
            }
        });
        other.Start();
        var clock = Stopwatch.StartNew();
        connection.Dispose();
        connection.Dispose();
        other.Join();
        Say("disposed {0}", clock.ElapsedMilliseconds);
        held.Release();
        Say("released {0}", held.IsHeld);
    }

    private static void Say(string format, params object[] values)
    {
        Console.WriteLine(string.Format(System.Globalization.CultureInfo.InvariantCulture, format, values));
        Console.Out.Flush();
    }
}
