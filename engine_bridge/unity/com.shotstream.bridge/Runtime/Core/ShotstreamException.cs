using System;

namespace Shotstream
{
    /// <summary>What the bridge or the server refused. The message is a sentence.</summary>
    public sealed class ShotstreamException : Exception
    {
        public ShotstreamException(ErrorCode code, string message) : base(message)
        {
            Code = code;
        }

        /// <summary>-2 (other version of a struct), -3 (no memory) and -10 (frame overwritten) are of the library alone and have
        /// no name here.</summary>
        public ErrorCode Code { get; private set; }

        /// <summary>As in shotstream.h: "SHS_E_AUTH".</summary>
        public string Name
        {
            get { return Utf8.Text(Native.shs_result_name((int)Code)); }
        }
    }
}
