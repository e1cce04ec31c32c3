using System;
using System.Collections.Generic;
using UnityEngine;

namespace Shotstream.Unity
{
    /// <summary>A named value that can be edited in the inspector.</summary>
    [Serializable]
    public sealed class Parameter
    {
        public enum Kind
        {
            Text,
            Number,
            WholeNumber,
            YesNo
        }

        public string name = "";

        public Kind kind = Kind.Text;

        [Tooltip("For Text.")]
        public string text = "";

        [Tooltip("For Number and WholeNumber.")]
        public double number = 0;

        [Tooltip("For YesNo.")]
        public bool yes = false;

        internal Value Value
        {
            get
            {
                switch (kind)
                {
                    case Kind.Number: return number;
                    case Kind.WholeNumber: return (long)Math.Round(number);
                    case Kind.YesNo: return yes;
                    default: return text;
                }
            }
        }

        internal static Dictionary<string, Value> Values(IEnumerable<Parameter> parameters)
        {
            var values = new Dictionary<string, Value>();
            foreach (var parameter in parameters) values[parameter.name] = parameter.Value;
            return values;
        }
    }
}
