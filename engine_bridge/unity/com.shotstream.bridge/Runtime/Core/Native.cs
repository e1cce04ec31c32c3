using System;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Shotstream
{
    /// <summary>A shs_client. A call that is under way in another thread keeps it alive until it returns.</summary>
    internal sealed class ClientHandle : SafeHandleZeroOrMinusOneIsInvalid
    {
        public ClientHandle(IntPtr client) : base(true)
        {
            SetHandle(client);
        }

        protected override bool ReleaseHandle()
        {
            Native.shs_client_destroy(handle);
            return true;
        }
    }

    /// <summary>shotstream.h as it is, 64-bit. Texts are UTF-8 with a 0 at the end, whatever the platform's own encoding.</summary>
    internal static class Native
    {
        private const string Library = "shotstream_bridge";
        private const CallingConvention C = CallingConvention.Cdecl;

        public const uint AbiVersion = 1u << 16;

        public const int Ok = 0, Timeout = 1, NoEvent = 2, Reconnecting = 3, EOverrun = -10;

        public const uint ClientNoFrames = 1, ClientNoShm = 2, ClientHoldOnDisconnect = 4;

        public const uint ControlHold = 1, ControlResume = 2, ControlClear = 3, ControlPin = 4, ControlUnpin = 5, ControlUndo = 6;

        public const uint ControlTake = 7, ControlCancel = 8;

        public const uint ParamInt = 1, ParamFloat = 2, ParamBool = 3, ParamString = 4;

        [StructLayout(LayoutKind.Sequential)]
        public struct Config
        {
            public uint StructSize, Flags;
            public IntPtr ServerName, ConnectionFile, CtlEndpoint, Token, CurveServerKey, CurvePublicKey, CurveSecretKey, ClientName, Engine;
            public uint Role, PixelFormat, Origin, Delivery, QueueFrames, TtlMs;
        }

        [StructLayout(LayoutKind.Sequential)]
        public unsafe struct Frame
        {
            public uint StructSize, Flags;
            public ulong FrameId, SourceId, Seed;
            public long PtsNs, PresentAtNs, GeneratedNs, ReceivedNs;
            public uint ShotId, ShotFrame, BlockId, TakeId, PromptRev, LastCmd;
            public uint Width, Height, Stride, PixelFormat, Origin, ColorSpace;
            public uint RateNum, RateDen, Timecode, TcRateNum, TcRateDen, TcFlags;
            public ulong DataSize, Token;
            public IntPtr Data;
            public uint Dropped, Location;
            public fixed byte Reserved[24];
        }

        [StructLayout(LayoutKind.Sequential)]
        public unsafe struct Event
        {
            public uint StructSize, Type;
            public long TimeNs, FrameId, ShotId;
            public uint RequestId, Command, Count;
            public int Code;
            public fixed float LatencyMs[8];
            public uint RetryMs, TextSize;
            public fixed byte Name[72];
            public fixed byte Text[224];
        }

        [StructLayout(LayoutKind.Sequential)]
        public struct Param
        {
            public IntPtr Key;
            public uint Type, Reserved;
            public long I;
            public double D;
            public IntPtr S;
        }

        [StructLayout(LayoutKind.Sequential)]
        public unsafe struct Stats
        {
            public uint StructSize, Connected, Connections, Width, Height, RateNum, RateDen, Role;
            public ulong Epoch;
            public long ClockOffsetNs, RttNs;
            public ulong FramesReceived, FramesDropped, FramesOverrun, FramesUnreadable, MessagesUnreadable, EventsLost;
            public fixed byte Bundle[72];
        }

        [DllImport(Library, CallingConvention = C)]
        public static extern uint shs_abi_version();

        [DllImport(Library, CallingConvention = C)]
        public static extern IntPtr shs_result_name(int result);

        [DllImport(Library, CallingConvention = C)]
        public static extern long shs_now_ns();

        [DllImport(Library, CallingConvention = C)]
        public static extern int shs_client_config_init(ref Config config, uint structSize, uint abiVersion);

        [DllImport(Library, CallingConvention = C)]
        public static extern int shs_client_create(ref Config config, out IntPtr client);

        [DllImport(Library, CallingConvention = C)]
        public static extern int shs_client_reconnect(ClientHandle client);

        [DllImport(Library, CallingConvention = C)]
        public static extern void shs_client_destroy(IntPtr client);

        [DllImport(Library, CallingConvention = C)]
        public static extern int shs_client_last_error(ClientHandle client, byte[] buffer, uint size, out uint needed);

        [DllImport(Library, CallingConvention = C)]
        public static extern int shs_client_stats(ClientHandle client, ref Stats stats);

        [DllImport(Library, CallingConvention = C)]
        public static extern int shs_trigger(ClientHandle client, byte[] beat, Param[] parameters, uint count, out uint request);

        [DllImport(Library, CallingConvention = C)]
        public static extern int shs_set_variables(ClientHandle client, Param[] variables, uint count, out uint request);

        [DllImport(Library, CallingConvention = C)]
        public static extern int shs_cut(ClientHandle client, byte[] text, long seed, uint frames, uint when, out uint request);

        [DllImport(Library, CallingConvention = C)]
        public static extern int shs_prompt(ClientHandle client, byte[] text, out uint request);

        [DllImport(Library, CallingConvention = C)]
        public static extern int shs_world(ClientHandle client, byte[] text, out uint request);

        [DllImport(Library, CallingConvention = C)]
        public static extern int shs_prepare(ClientHandle client, byte[] text, long seed, uint frames, out uint request);

        [DllImport(Library, CallingConvention = C)]
        public static extern int shs_control(ClientHandle client, uint what, long a, long b, out uint request);

        [DllImport(Library, CallingConvention = C)]
        public static extern int shs_checkpoint(ClientHandle client, byte[] name, out uint request);

        [DllImport(Library, CallingConvention = C)]
        public static extern int shs_restore(ClientHandle client, byte[] name, out uint request);

        [DllImport(Library, CallingConvention = C)]
        public static extern int shs_branch(ClientHandle client, byte[] name, long seed, out uint request);

        [DllImport(Library, CallingConvention = C)]
        public static extern int shs_forget(ClientHandle client, byte[] name, out uint request);

        [DllImport(Library, CallingConvention = C)]
        public static extern int shs_download(ClientHandle client, byte[] name, out uint request);

        [DllImport(Library, CallingConvention = C)]
        public static extern int shs_upload(ClientHandle client, byte[] name, byte[] data, ulong size, out uint request);

        [DllImport(Library, CallingConvention = C)]
        public static extern int shs_query(ClientHandle client, uint subjects, out uint request);

        [DllImport(Library, CallingConvention = C)]
        public static extern int shs_answer_read(ClientHandle client, uint request, byte[] buffer, ulong size, out ulong needed);

        [DllImport(Library, CallingConvention = C)]
        public static extern int shs_frame_acquire(ClientHandle client, ulong minFrame, uint timeoutMs, ref Frame frame);

        [DllImport(Library, CallingConvention = C)]
        public static extern int shs_frame_copy(ClientHandle client, ref Frame frame, IntPtr target, uint stride, ulong size);

        [DllImport(Library, CallingConvention = C)]
        public static extern int shs_frame_release(ClientHandle client, ref Frame frame);

        [DllImport(Library, CallingConvention = C)]
        public static extern int shs_event_next(ClientHandle client, ref Event item);
    }
}
