namespace Shotstream
{
    /// <summary>Kinds of events that the client makes itself, beside those of <see cref="EventKind"/>.</summary>
    public static class ConnectionEvent
    {
        /// <summary>Count: how often by now. Text: the bundle of the film.</summary>
        public const EventKind Connected = (EventKind)1;

        /// <summary>Code and Text say why; the client goes on trying.</summary>
        public const EventKind Disconnected = (EventKind)2;

        /// <summary>Frames may come now, or the server refuses them (Code, Text).</summary>
        public const EventKind Stream = (EventKind)3;

        /// <summary>A request was taken or refused; its <see cref="Receipt"/> knows.</summary>
        public const EventKind Answer = (EventKind)4;

        /// <summary>A command moved on; its <see cref="Receipt"/> knows.</summary>
        public const EventKind State = (EventKind)5;
    }

    /// <summary>Something that happened. Numbers that do not belong to its kind are -1, counts 0, texts "".</summary>
    public sealed class ShotstreamEvent
    {
        internal unsafe ShotstreamEvent(ref Native.Event item)
        {
            Kind = (EventKind)item.Type;
            TimeNs = item.TimeNs;
            Frame = item.FrameId;
            Shot = item.ShotId;
            Request = item.RequestId;
            Command = item.Command;
            Count = item.Count;
            Code = item.Code;
            RetryMs = item.RetryMs;
            fixed (byte* name = item.Name) Name = Utf8.Text(name, 72);
            fixed (byte* text = item.Text) Text = Utf8.Text(text, 224);
            LatencyMs = new float[8];
            fixed (float* latency = item.LatencyMs)
            {
                for (var state = 0; state < LatencyMs.Length; state++) LatencyMs[state] = latency[state];
            }
        }

        public EventKind Kind { get; private set; }

        /// <summary>When it came, on <see cref="ShotstreamConnection.NowNs"/>.</summary>
        public long TimeNs { get; private set; }

        public long Frame { get; private set; }

        public long Shot { get; private set; }

        public uint Request { get; private set; }

        /// <summary>Number of the command in the film.</summary>
        public uint Command { get; private set; }

        public uint Count { get; private set; }

        /// <summary>An <see cref="ErrorCode"/>, 0 for none; for State a <see cref="CommandState"/>.</summary>
        public int Code { get; private set; }

        /// <summary>After <see cref="ErrorCode.Rate"/>: when the next request is welcome.</summary>
        public uint RetryMs { get; private set; }

        /// <summary>Of a beat or a checkpoint.</summary>
        public string Name { get; private set; }

        public string Text { get; private set; }

        internal float[] LatencyMs { get; private set; }
    }
}
