namespace Shotstream
{
    /// <summary>
    /// How to connect and what to receive. A server of this user on this machine is found by its name;
    /// <see cref="Endpoint"/> is for all others.
    /// </summary>
    public sealed class ConnectionOptions
    {
        /// <summary>The --name of the server.</summary>
        public string ServerName = "default";

        /// <summary>Path of its connection file, in place of the name.</summary>
        public string ConnectionFile;

        /// <summary>"tcp://IP:PORT"; needs the token, or the three keys when IP is not of this machine.</summary>
        public string Endpoint;

        public string Token;

        /// <summary>CURVE keys as text, 40 characters each.</summary>
        public string ServerKey, PublicKey, SecretKey;

        /// <summary>For the server's log.</summary>
        public string ClientName = "";

        public string Engine = "csharp";

        public Role Role = Role.Viewer;

        public PixelFormat Format = PixelFormat.Rgba8;

        public Origin Origin = Origin.TopLeft;

        public Delivery Delivery = Delivery.Latest;

        /// <summary>Frames that may wait at the server, for <see cref="Shotstream.Delivery.Queue"/>.</summary>
        public int Queue = 8;

        /// <summary>Milliseconds; a command that reaches the server later is refused.</summary>
        public int TtlMs = 2000;

        /// <summary>False: commands and events only.</summary>
        public bool Frames = true;

        /// <summary>False: pixels always inside the message, also on the same machine.</summary>
        public bool SharedMemory = true;

        /// <summary>Hold the film when this program vanishes (operator).</summary>
        public bool HoldOnDisconnect;
    }
}
