using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using System.Text;

namespace Shotstream
{
    /// <summary>Texts to C and back. P/Invoke's own conversion depends on the platform, so it is not used.</summary>
    internal static class Utf8
    {
        /// <summary>With a 0 at its end; null stays null.</summary>
        public static byte[] Bytes(string text)
        {
            if (text == null) return null;
            if (text.IndexOf('\0') >= 0) throw new ArgumentException("a text has a NUL character in it");
            var bytes = new byte[Encoding.UTF8.GetByteCount(text) + 1];
            Encoding.UTF8.GetBytes(text, 0, text.Length, bytes, 0);
            return bytes;
        }

        /// <summary>The text at <paramref name="start"/> up to its 0, at most <paramref name="capacity"/> bytes.</summary>
        public static unsafe string Text(byte* start, int capacity)
        {
            var size = 0;
            while (size < capacity && start[size] != 0) size++;
            if (size == 0) return "";
            var bytes = new byte[size];
            Marshal.Copy((IntPtr)start, bytes, 0, size);
            return Encoding.UTF8.GetString(bytes);
        }

        public static unsafe string Text(IntPtr start)
        {
            return start == IntPtr.Zero ? "" : Text((byte*)start, int.MaxValue);
        }
    }

    /// <summary>Texts in unmanaged memory for the length of one call.</summary>
    internal sealed class Texts : IDisposable
    {
        private readonly List<IntPtr> _memory = new List<IntPtr>();

        /// <summary>Its address; NULL for null and "".</summary>
        public IntPtr Add(string text)
        {
            if (string.IsNullOrEmpty(text)) return IntPtr.Zero;
            return Keep(Utf8.Bytes(text));
        }

        public Native.Param[] Parameters(IEnumerable<KeyValuePair<string, Value>> values)
        {
            var parameters = new List<Native.Param>();
            foreach (var pair in values ?? new KeyValuePair<string, Value>[0])
            {
                var parameter = pair.Value.Parameter();
                parameter.Key = Keep(Utf8.Bytes(pair.Key ?? ""));
                if (parameter.Type == Native.ParamString) parameter.S = Keep(Utf8.Bytes(pair.Value.Text));
                parameters.Add(parameter);
            }
            return parameters.ToArray();
        }

        public void Dispose()
        {
            foreach (var address in _memory) Marshal.FreeHGlobal(address);
            _memory.Clear();
        }

        private IntPtr Keep(byte[] bytes)
        {
            var address = Marshal.AllocHGlobal(bytes.Length);
            _memory.Add(address);
            Marshal.Copy(bytes, 0, address, bytes.Length);
            return address;
        }
    }
}
