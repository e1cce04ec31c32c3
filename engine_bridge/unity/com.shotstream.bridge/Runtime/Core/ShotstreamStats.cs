namespace Shotstream
{
    /// <summary>Figures of a connection.</summary>
    public sealed class ShotstreamStats
    {
        internal unsafe ShotstreamStats(ref Native.Stats stats)
        {
            IsConnected = stats.Connected != 0;
            Connections = (int)stats.Connections;
            Width = (int)stats.Width;
            Height = (int)stats.Height;
            FramesPerSecond = stats.RateDen == 0 ? 0 : (double)stats.RateNum / stats.RateDen;
            Role = (Role)stats.Role;
            Epoch = (long)stats.Epoch;
            ClockOffsetNs = stats.ClockOffsetNs;
            RoundTripNs = stats.RttNs;
            FramesReceived = (long)stats.FramesReceived;
            FramesDropped = (long)stats.FramesDropped;
            FramesOverrun = (long)stats.FramesOverrun;
            FramesUnreadable = (long)stats.FramesUnreadable;
            MessagesUnreadable = (long)stats.MessagesUnreadable;
            EventsLost = (long)stats.EventsLost;
            fixed (byte* bundle = stats.Bundle) Bundle = Utf8.Text(bundle, 72);
        }

        public bool IsConnected { get; private set; }

        /// <summary>How often it came up.</summary>
        public int Connections { get; private set; }

        /// <summary>Pixels; 0 before the first connection.</summary>
        public int Width { get; private set; }

        public int Height { get; private set; }

        /// <summary>Of the film.</summary>
        public double FramesPerSecond { get; private set; }

        /// <summary>Granted.</summary>
        public Role Role { get; private set; }

        /// <summary>Of the server; another one after its restart.</summary>
        public long Epoch { get; private set; }

        /// <summary>Server's clock minus <see cref="ShotstreamConnection.NowNs"/>.</summary>
        public long ClockOffsetNs { get; private set; }

        public long RoundTripNs { get; private set; }

        public long FramesReceived { get; private set; }

        /// <summary>Left out by the server for this client.</summary>
        public long FramesDropped { get; private set; }

        /// <summary>In shared memory, overwritten before they were released.</summary>
        public long FramesOverrun { get; private set; }

        public long FramesUnreadable { get; private set; }

        public long MessagesUnreadable { get; private set; }

        public long EventsLost { get; private set; }

        /// <summary>What the film is made with.</summary>
        public string Bundle { get; private set; }
    }
}
