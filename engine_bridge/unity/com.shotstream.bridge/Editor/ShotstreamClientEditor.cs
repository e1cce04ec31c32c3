using UnityEditor;
using UnityEngine;

namespace Shotstream.Unity.Editor
{
    /// <summary>Below the fields: how the connection is, and a line to try a cut with.</summary>
    [CustomEditor(typeof(ShotstreamClient))]
    public sealed class ShotstreamClientEditor : UnityEditor.Editor
    {
        private string _prompt = "wide shot: a red fox walks through a snowy forest";

        public override bool RequiresConstantRepaint()
        {
            return Application.isPlaying;
        }

        public override void OnInspectorGUI()
        {
            DrawDefaultInspector();
            var client = (ShotstreamClient)target;
            EditorGUILayout.Space();
            if (!Application.isPlaying)
            {
                EditorGUILayout.HelpBox("Connects in play mode. Start a server with: shotstream serve", MessageType.Info);
                return;
            }
            if (client.Connection == null)
            {
                EditorGUILayout.HelpBox(client.Problem == "" ? "Disabled." : client.Problem, MessageType.Warning);
                return;
            }
            var stats = client.Connection.Stats;
            EditorGUILayout.LabelField("Server", stats.IsConnected
                ? stats.Bundle + ", " + stats.Width + "x" + stats.Height + " at " + stats.FramesPerSecond + " fps"
                : "not connected: " + client.Connection.LastError);
            EditorGUILayout.LabelField("Frames", stats.FramesReceived + " received, " + stats.FramesDropped + " left out");
            EditorGUILayout.LabelField("Round trip", (stats.RoundTripNs / 1e6).ToString("0.0") + " ms");
            _prompt = EditorGUILayout.TextField("Prompt", _prompt);
            if (GUILayout.Button("Cut")) client.Cut(_prompt);
            if (GUILayout.Button("Reconnect")) client.Connection.Reconnect();
        }
    }
}
