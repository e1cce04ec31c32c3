// The few declarations of UnityEngine that the package uses, so that its scripts can be compiled without Unity, and enough
// behind them that a test can play the part of the engine: objects that are found, textures with memory, events with
// listeners. A test calls Awake, OnEnable, Update and so on itself.
using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;

namespace UnityEngine
{
    public class Object
    {
        public static readonly List<Object> Living = new List<Object>();

        public string name { get; set; }
        public HideFlags hideFlags { get; set; }

        public static void Destroy(Object other)
        {
            Living.Remove(other);
        }

        public static T FindObjectOfType<T>() where T : Object
        {
            return (T)Living.Find(one => one is T);
        }
    }

    public class ScriptableObject : Object
    {
    }

    public class Component : Object
    {
        public GameObject gameObject { get; internal set; }

        public Transform transform
        {
            get { return gameObject.transform; }
        }

        public T GetComponent<T>()
        {
            return gameObject.GetComponent<T>();
        }
    }

    public class Behaviour : Component
    {
        public bool enabled { get; set; }
    }

    public class MonoBehaviour : Behaviour
    {
    }

    public sealed class GameObject : Object
    {
        private readonly List<Component> _components = new List<Component>();

        public GameObject(string tag)
        {
            this.tag = tag;
            AddComponent<Transform>();
        }

        public string tag { get; set; }

        public Transform transform
        {
            get { return GetComponent<Transform>(); }
        }

        public bool CompareTag(string tag)
        {
            return this.tag == tag;
        }

        public T AddComponent<T>() where T : Component, new()
        {
            var component = new T { gameObject = this };
            _components.Add(component);
            Living.Add(component);
            return component;
        }

        public T GetComponent<T>()
        {
            return (T)(object)_components.Find(one => one is T);
        }
    }

    public class Transform : Component
    {
        public Vector3 position { get; set; }
    }

    public struct Vector3
    {
        private readonly float _x, _y, _z;

        public Vector3(float x, float y, float z)
        {
            _x = x;
            _y = y;
            _z = z;
        }

        public float sqrMagnitude
        {
            get { return _x * _x + _y * _y + _z * _z; }
        }

        public static Vector3 operator -(Vector3 a, Vector3 b)
        {
            return new Vector3(a._x - b._x, a._y - b._y, a._z - b._z);
        }
    }

    public class Collider : Component
    {
    }

    public class Collision
    {
        public GameObject gameObject { get; set; }
    }

    public class Renderer : Component
    {
        public MaterialPropertyBlock Block { get; private set; }

        public void GetPropertyBlock(MaterialPropertyBlock block)
        {
        }

        public void SetPropertyBlock(MaterialPropertyBlock block)
        {
            Block = block;
        }
    }

    public sealed class MaterialPropertyBlock
    {
        public readonly Dictionary<string, Texture> Textures = new Dictionary<string, Texture>();

        public void SetTexture(string name, Texture value)
        {
            Textures[name] = value;
        }
    }

    public class Texture : Object
    {
        public virtual int width { get; set; }
        public virtual int height { get; set; }
        public TextureWrapMode wrapMode { get; set; }
    }

    public sealed class Texture2D : Texture
    {
        private readonly byte[] _pixels;

        /// <summary>What the graphics card would show.</summary>
        public byte[] Shown { get; private set; }

        public Texture2D(int width, int height, TextureFormat format, bool mipChain, bool linear)
        {
            this.width = width;
            this.height = height;
            _pixels = new byte[width * height * 4];
            Living.Add(this);
        }

        public Unity.Collections.NativeArray<T> GetRawTextureData<T>() where T : struct
        {
            var pinned = GCHandle.Alloc(_pixels, GCHandleType.Pinned); // for good: a test makes a handful
            return new Unity.Collections.NativeArray<T>(pinned.AddrOfPinnedObject(), _pixels.Length);
        }

        public void Apply(bool updateMipmaps, bool makeNoLongerReadable)
        {
            Shown = (byte[])_pixels.Clone();
        }
    }

    public class RenderTexture : Texture
    {
    }

    public static class Graphics
    {
        public static void Blit(Texture source, RenderTexture target)
        {
        }
    }

    public enum TextureFormat
    {
        RGBA32 = 4
    }

    public enum TextureWrapMode
    {
        Repeat,
        Clamp
    }

    [Flags]
    public enum HideFlags
    {
        None = 0,
        DontSave = 52
    }

    public enum KeyCode
    {
        Space = 32
    }

    public static class Input
    {
        public static bool GetKeyDown(KeyCode key)
        {
            return false;
        }
    }

    public static class Time
    {
        public static float time { get; set; }

        public static float unscaledTime
        {
            get { return time; }
        }
    }

    public static class Application
    {
        public static bool isPlaying
        {
            get { return false; }
        }

        public static string productName
        {
            get { return "A game with a name that is longer than the protocol's sixty-four characters"; }
        }

        public static string unityVersion
        {
            get { return "stub"; }
        }
    }

    public static class Debug
    {
        public static void LogWarning(object message, Object context)
        {
            Console.WriteLine("warning " + message);
        }

        public static void LogError(object message, Object context)
        {
            Console.WriteLine("error " + message);
        }
    }

    public static class GUILayout
    {
        public static bool Button(string text, params GUILayoutOption[] options)
        {
            return false;
        }
    }

    public sealed class GUILayoutOption
    {
    }

    public sealed class SerializeField : Attribute
    {
    }

    public sealed class TooltipAttribute : Attribute
    {
        public TooltipAttribute(string tooltip)
        {
        }
    }

    public sealed class HeaderAttribute : Attribute
    {
        public HeaderAttribute(string header)
        {
        }
    }

    public sealed class AddComponentMenu : Attribute
    {
        public AddComponentMenu(string menuName)
        {
        }
    }

    public sealed class DisallowMultipleComponent : Attribute
    {
    }

    public sealed class DefaultExecutionOrder : Attribute
    {
        public DefaultExecutionOrder(int order)
        {
        }
    }

    public sealed class RequireComponent : Attribute
    {
        public RequireComponent(Type first, Type second)
        {
        }
    }

    public sealed class CreateAssetMenuAttribute : Attribute
    {
        public string menuName { get; set; }
        public string fileName { get; set; }
    }
}

namespace UnityEngine.Events
{
    public class UnityEvent
    {
        private event Action Listeners;

        public void AddListener(Action listener)
        {
            Listeners += listener;
        }

        public void Invoke()
        {
            if (Listeners != null) Listeners();
        }
    }

    public class UnityEvent<T>
    {
        private event Action<T> Listeners;

        public void AddListener(Action<T> listener)
        {
            Listeners += listener;
        }

        public void Invoke(T value)
        {
            if (Listeners != null) Listeners(value);
        }
    }
}

namespace UnityEngine.UI
{
    public class RawImage : MonoBehaviour
    {
        public Texture texture { get; set; }
    }
}

namespace Unity.Collections
{
    public struct NativeArray<T> where T : struct
    {
        internal readonly IntPtr Start;

        internal NativeArray(IntPtr start, int length) : this()
        {
            Start = start;
            Length = length;
        }

        public int Length { get; private set; }
    }
}

namespace Unity.Collections.LowLevel.Unsafe
{
    public static class NativeArrayUnsafeUtility
    {
        public static unsafe void* GetUnsafePtr<T>(NativeArray<T> array) where T : struct
        {
            return (void*)array.Start;
        }
    }
}
