// The few declarations of UnityEngine that the package uses, so that its scripts can be compiled without Unity. Nothing
// here does anything.
using System;

namespace UnityEngine
{
    public class Object
    {
        public string name { get; set; }
        public HideFlags hideFlags { get; set; }

        public static void Destroy(Object other)
        {
        }

        public static T FindObjectOfType<T>() where T : Object
        {
            return null;
        }
    }

    public class ScriptableObject : Object
    {
    }

    public class Component : Object
    {
        public GameObject gameObject
        {
            get { return null; }
        }

        public Transform transform
        {
            get { return null; }
        }

        public T GetComponent<T>()
        {
            return default(T);
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
        public bool CompareTag(string tag)
        {
            return false;
        }
    }

    public class Transform : Component
    {
        public Vector3 position { get; set; }
    }

    public struct Vector3
    {
        public float sqrMagnitude
        {
            get { return 0; }
        }

        public static Vector3 operator -(Vector3 a, Vector3 b)
        {
            return a;
        }
    }

    public class Collider : Component
    {
    }

    public class Collision
    {
        public GameObject gameObject
        {
            get { return null; }
        }
    }

    public class Renderer : Component
    {
        public void GetPropertyBlock(MaterialPropertyBlock block)
        {
        }

        public void SetPropertyBlock(MaterialPropertyBlock block)
        {
        }
    }

    public sealed class MaterialPropertyBlock
    {
        public void SetTexture(string name, Texture value)
        {
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
        public Texture2D(int width, int height, TextureFormat format, bool mipChain, bool linear)
        {
        }

        public Unity.Collections.NativeArray<T> GetRawTextureData<T>() where T : struct
        {
            return default(Unity.Collections.NativeArray<T>);
        }

        public void Apply(bool updateMipmaps, bool makeNoLongerReadable)
        {
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
        public static float time
        {
            get { return 0; }
        }

        public static float unscaledTime
        {
            get { return 0; }
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
            get { return ""; }
        }

        public static string unityVersion
        {
            get { return ""; }
        }
    }

    public static class Debug
    {
        public static void LogWarning(object message, Object context)
        {
        }

        public static void LogError(object message, Object context)
        {
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
        public void Invoke()
        {
        }
    }

    public class UnityEvent<T>
    {
        public void Invoke(T value)
        {
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
        public int Length
        {
            get { return 0; }
        }
    }
}

namespace Unity.Collections.LowLevel.Unsafe
{
    public static class NativeArrayUnsafeUtility
    {
        public static unsafe void* GetUnsafePtr<T>(NativeArray<T> array) where T : struct
        {
            return null;
        }
    }
}
