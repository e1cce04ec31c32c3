// Generated from sdk/shotstream/bridge/messages.py by: python -m engine_bridge.generate
namespace Shotstream
{
    /// <summary>Limits and words of the wire protocol.</summary>
    public static class Protocol
    {
        public const string Magic = "SSB1";
        public const int ProtoMin = 1;
        public const int ProtoMax = 1;
        public const int MaxCtlBytes = 65536;
        public const int MaxCreditBytes = 1024;
        public const int MaxHeaderBytes = 4096;
        public const int MaxWindow = 64;
        public const int MaxChunkBytes = 49152;
        public const int MaxSaveBytes = 67108864;

        /// <summary>The word in t of every message.</summary>
        public static readonly string[] Tags =
        {
            "hello",
            "ping",
            "bye",
            "cut",
            "prompt",
            "world",
            "clear",
            "pin",
            "unpin",
            "hold",
            "resume",
            "beat",
            "var",
            "prepare",
            "take",
            "cancel",
            "checkpoint",
            "restore",
            "branch",
            "undo",
            "forget",
            "download",
            "upload",
            "query",
            "subscribe",
            "unsubscribe",
            "welcome",
            "reject",
            "pong",
            "ack",
            "error",
            "state",
            "subscribed",
            "saved",
            "chunk",
            "event",
            "result",
            "c",
            "frame",
        };
    }

    /// <summary>Codes of error and reject.</summary>
    public enum ErrorCode
    {
        Invalid = -1,
        Connect = -4,
        Auth = -5,
        Version = -6,
        Protocol = -7,
        TooLarge = -8,
        Stale = -9,
        Closed = -11,
        Denied = -12,
        Rate = -13,
        Busy = -14,
        UnknownType = -15,
        Timeout = -16,
        Internal = -99,
    }

    /// <summary>Bits of a frame's fl.</summary>
    [System.Flags]
    public enum FrameFlags
    {
        ShotStart = 1,
        Discontinuity = 64,
        Moderated = 512,
        Restored = 1024,
        Gap = 2048,
    }

    /// <summary>Bits of events in hello.</summary>
    [System.Flags]
    public enum EventMask
    {
        ShotStart = 1,
        Gap = 2,
        Engine = 4,
        Shutdown = 8,
        Beat = 16,
        Moderation = 32,
        Restored = 64,
        All = 127,
    }

    /// <summary>Roles, from the least; words on the wire.</summary>
    public enum Role
    {
        Viewer = 0,
        Trigger = 1,
        Director = 2,
        Operator = 3,
    }

    /// <summary>When a cut happens; words on the wire.</summary>
    public enum When
    {
        Block = 0,
        ShotEnd = 1,
        Now = 2,
    }

    /// <summary>What a query asks for; words on the wire.</summary>
    public enum Subject
    {
        Status = 0,
        Beats = 1,
        Variables = 2,
        Checkpoints = 3,
    }

    /// <summary>What an event tells; words on the wire. Numbers below 16 are left to the clients.</summary>
    public enum EventKind
    {
        ShotStart = 16,
        Gap = 17,
        Engine = 18,
        Shutdown = 19,
        Beat = 20,
        Moderation = 21,
        Restored = 22,
    }

    /// <summary>Where pixels are; words on the wire.</summary>
    public enum Location
    {
        Inline = 0,
        Shm = 1,
    }

    /// <summary>Delivery; words on the wire.</summary>
    public enum Delivery
    {
        Latest = 0,
        Queue = 1,
        Lossless = 2,
    }

    /// <summary>States of a command; words on the wire.</summary>
    public enum CommandState
    {
        Queued = 0,
        Started = 1,
        Generated = 2,
        OnAir = 3,
        Presented = 4,
        Failed = 5,
        Superseded = 6,
    }

    /// <summary>Pixel formats; words on the wire, numbers in shared memory.</summary>
    public enum PixelFormat
    {
        Rgba8 = 1,
        Bgra8 = 2,
        Rgb8 = 3,
        Nv12 = 4,
    }

    /// <summary>First row in memory; words on the wire, numbers in shared memory.</summary>
    public enum Origin
    {
        TopLeft = 1,
        BottomLeft = 2,
    }
}
