using System;
using UnityEngine.Events;

namespace Shotstream.Unity
{
    /// <summary>With a sentence or a name.</summary>
    [Serializable]
    public sealed class TextEvent : UnityEvent<string>
    {
    }

    /// <summary>With the number of a shot.</summary>
    [Serializable]
    public sealed class ShotEvent : UnityEvent<int>
    {
    }
}
