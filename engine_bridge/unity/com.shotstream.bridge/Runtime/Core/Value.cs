using System;
using System.Globalization;

namespace Shotstream
{
    /// <summary>A parameter of a beat or a variable of the story: a whole number, a number, yes or no, or a text.</summary>
    public readonly struct Value
    {
        private readonly uint _type;
        private readonly long _whole;
        private readonly double _number;
        private readonly string _text;

        private Value(uint type, long whole, double number, string text)
        {
            _type = type;
            _whole = whole;
            _number = number;
            _text = text;
        }

        public static implicit operator Value(long value)
        {
            return new Value(Native.ParamInt, value, 0, null);
        }

        public static implicit operator Value(int value)
        {
            return new Value(Native.ParamInt, value, 0, null);
        }

        public static implicit operator Value(double value)
        {
            return new Value(Native.ParamFloat, 0, value, null);
        }

        public static implicit operator Value(float value)
        {
            return new Value(Native.ParamFloat, 0, value, null);
        }

        public static implicit operator Value(bool value)
        {
            return new Value(Native.ParamBool, value ? 1 : 0, 0, null);
        }

        public static implicit operator Value(string value)
        {
            return new Value(Native.ParamString, 0, 0, value ?? "");
        }

        internal string Text
        {
            get { return _text; }
        }

        /// <summary>Without its key and text, which need memory of their own.</summary>
        internal Native.Param Parameter()
        {
            if (_type == 0) throw new ArgumentException("a value has not been given");
            return new Native.Param { Type = _type, I = _whole, D = _number };
        }

        public override string ToString()
        {
            switch (_type)
            {
                case Native.ParamInt: return _whole.ToString(CultureInfo.InvariantCulture);
                case Native.ParamFloat: return _number.ToString("R", CultureInfo.InvariantCulture);
                case Native.ParamBool: return _whole != 0 ? "true" : "false";
                default: return _text ?? "";
            }
        }
    }
}
