// As UnityEngine.cs, for the editor.
using System;

namespace UnityEditor
{
    public class Editor : UnityEngine.ScriptableObject
    {
        public UnityEngine.Object target { get; set; }

        public virtual void OnInspectorGUI()
        {
        }

        public virtual bool RequiresConstantRepaint()
        {
            return false;
        }

        public bool DrawDefaultInspector()
        {
            return false;
        }
    }

    public sealed class CustomEditor : Attribute
    {
        public CustomEditor(Type inspected)
        {
        }
    }

    public enum MessageType
    {
        None,
        Info,
        Warning,
        Error
    }

    public static class EditorGUILayout
    {
        public static void Space()
        {
        }

        public static void HelpBox(string message, MessageType type)
        {
        }

        public static void LabelField(string label, string text, params UnityEngine.GUILayoutOption[] options)
        {
        }

        public static string TextField(string label, string text, params UnityEngine.GUILayoutOption[] options)
        {
            return text;
        }
    }

    public static class AssemblyReloadEvents
    {
        public delegate void AssemblyReloadCallback();

        public static event AssemblyReloadCallback beforeAssemblyReload;

        public static void Raise()
        {
            if (beforeAssemblyReload != null) beforeAssemblyReload();
        }
    }

    public enum PlayModeStateChange
    {
        EnteredEditMode,
        ExitingEditMode,
        EnteredPlayMode,
        ExitingPlayMode
    }

    public static class EditorApplication
    {
        public static event Action<PlayModeStateChange> playModeStateChanged;

        public static void Raise(PlayModeStateChange change)
        {
            if (playModeStateChanged != null) playModeStateChanged(change);
        }
    }
}
