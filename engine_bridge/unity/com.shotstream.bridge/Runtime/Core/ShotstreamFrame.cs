using System;
using System.Runtime.InteropServices;

namespace Shotstream
{
    /// <summary>
    /// Room for one frame. <see cref="ShotstreamConnection.Acquire"/> fills it again and again, so that a game makes no
    /// garbage per frame. While it holds a frame, the server does not send the next one of "latest": release it soon.
    /// </summary>
    public sealed class ShotstreamFrame : IDisposable
    {
        private Native.Frame _frame;
        private ShotstreamConnection _owner;

        /// <summary>It holds pixels at present.</summary>
        public bool IsHeld
        {
            get { return _owner != null; }
        }

        public FrameFlags Flags
        {
            get { return (FrameFlags)_frame.Flags; }
        }

        /// <summary>First frame of a shot.</summary>
        public bool IsCut
        {
            get { return (Flags & FrameFlags.ShotStart) != 0; }
        }

        /// <summary>Grows from frame to frame, also over a restart of the server.</summary>
        public long Id
        {
            get { return (long)_frame.FrameId; }
        }

        /// <summary>Number in the film; goes back when a checkpoint is restored.</summary>
        public long Source
        {
            get { return (long)_frame.SourceId; }
        }

        public long Seed
        {
            get { return (long)_frame.Seed; }
        }

        public int Shot
        {
            get { return (int)_frame.ShotId; }
        }

        public int FrameInShot
        {
            get { return (int)_frame.ShotFrame; }
        }

        public int Block
        {
            get { return (int)_frame.BlockId; }
        }

        /// <summary>Prompt edits that its shot had seen.</summary>
        public int Revision
        {
            get { return (int)_frame.PromptRev; }
        }

        /// <summary>Newest command that first shows here, 0 for none; see <see cref="Receipt.Command"/>.</summary>
        public uint Command
        {
            get { return _frame.LastCmd; }
        }

        /// <summary>Seconds in the film.</summary>
        public double Time
        {
            get { return _frame.PtsNs / 1e9; }
        }

        /// <summary>When it came, on <see cref="ShotstreamConnection.NowNs"/>.</summary>
        public long ReceivedNs
        {
            get { return _frame.ReceivedNs; }
        }

        /// <summary>When the server released it, on the server's clock.</summary>
        public long ReleasedNs
        {
            get { return _frame.PresentAtNs; }
        }

        /// <summary>Frames left out for this client since the one before.</summary>
        public int Dropped
        {
            get { return (int)_frame.Dropped; }
        }

        public int Width
        {
            get { return (int)_frame.Width; }
        }

        public int Height
        {
            get { return (int)_frame.Height; }
        }

        /// <summary>Bytes from row to row at <see cref="Data"/>.</summary>
        public int Stride
        {
            get { return (int)_frame.Stride; }
        }

        public PixelFormat Format
        {
            get { return (PixelFormat)_frame.PixelFormat; }
        }

        public Origin Origin
        {
            get { return (Origin)_frame.Origin; }
        }

        public Location Location
        {
            get { return (Location)_frame.Location; }
        }

        /// <summary>The pixels as they lie, until <see cref="Release"/>.</summary>
        public IntPtr Data
        {
            get { return _owner != null ? _frame.Data : IntPtr.Zero; }
        }

        /// <summary>Bytes at <see cref="Data"/>.</summary>
        public long DataSize
        {
            get { return (long)_frame.DataSize; }
        }

        /// <summary>Bytes of the picture with rows that follow each other without gaps; NV12: luma, then chroma.</summary>
        public int PackedSize
        {
            get
            {
                switch (Format)
                {
                    case PixelFormat.Rgb8: return Width * Height * 3;
                    case PixelFormat.Nv12: return Width * Height + Width * (Height / 2);
                    default: return Width * Height * 4;
                }
            }
        }

        /// <summary>
        /// Copies the pixels to <paramref name="target"/>, rows <paramref name="stride"/> bytes apart (0: without gaps).
        /// </summary>
        /// <returns>False when the server has overwritten the frame meanwhile: show the next one instead.</returns>
        /// <exception cref="ShotstreamException">They do not fit <paramref name="size"/> bytes.</exception>
        public bool CopyTo(IntPtr target, long size, int stride = 0)
        {
            if (_owner == null) throw new InvalidOperationException("there is no frame; acquire one first");
            if (target == IntPtr.Zero || size < 0 || stride < 0)
                throw new ArgumentException("target, size and stride do not name memory");
            return _owner.Copy(ref _frame, target, stride, size);
        }

        /// <summary>The same into an array of at least <see cref="PackedSize"/> bytes.</summary>
        public bool CopyTo(byte[] target)
        {
            var pinned = GCHandle.Alloc(target, GCHandleType.Pinned);
            try
            {
                return CopyTo(pinned.AddrOfPinnedObject(), target.Length);
            }
            finally
            {
                pinned.Free();
            }
        }

        /// <summary>Gives the pixels back and makes room for the next frame. Again does nothing.</summary>
        /// <returns>False when what was read from <see cref="Data"/> may be torn.</returns>
        public bool Release()
        {
            if (_owner == null) return true;
            var owner = _owner;
            _owner = null;
            return owner.Release(ref _frame);
        }

        public void Dispose()
        {
            Release();
        }

        internal unsafe bool Fill(ShotstreamConnection owner, long minFrame, int timeoutMs)
        {
            Release();
            _frame.StructSize = (uint)sizeof(Native.Frame);
            if (!owner.Fill(ref _frame, minFrame, timeoutMs)) return false;
            _owner = owner;
            return true;
        }
    }
}
