using System.Collections.Generic;
using UnityEngine;

namespace Shotstream.Unity
{
    /// <summary>
    /// Variables of the story that follow the game. Changes of several frames go out together, at most ten times a second,
    /// and all of them again after every connection, so that a restarted server knows them.
    /// </summary>
    [AddComponentMenu("Shotstream/Shotstream Variables")]
    public sealed class ShotstreamVariables : MonoBehaviour
    {
        private const float IntervalSeconds = 0.1f;
        private const int AtOnce = 64;

        [Tooltip("None: the first one in the scene.")]
        [SerializeField] private ShotstreamClient client = null;

        [Tooltip("Values at the start.")]
        [SerializeField] private List<Parameter> variables = new List<Parameter>();

        private readonly Dictionary<string, Value> _values = new Dictionary<string, Value>();
        private readonly HashSet<string> _changed = new HashSet<string>();
        private float _sentAt = float.NegativeInfinity;

        public void Set(string variable, Value value)
        {
            _values[variable] = value;
            _changed.Add(variable);
        }

        private void OnEnable()
        {
            if (client == null) client = FindObjectOfType<ShotstreamClient>();
            foreach (var variable in variables)
            {
                if (!_values.ContainsKey(variable.name)) Set(variable.name, variable.Value);
            }
            if (client == null) return;
            client.Happened += OnHappened;
            if (client.IsConnected) _changed.UnionWith(_values.Keys);
        }

        private void OnDisable()
        {
            if (client != null) client.Happened -= OnHappened;
        }

        private void LateUpdate()
        {
            if (_changed.Count == 0 || client == null || !client.IsConnected) return;
            if (Time.unscaledTime - _sentAt < IntervalSeconds) return;
            _sentAt = Time.unscaledTime;
            var batch = new Dictionary<string, Value>();
            foreach (var variable in _changed)
            {
                if (batch.Count < AtOnce) batch[variable] = _values[variable];
            }
            _changed.ExceptWith(batch.Keys);
            var sent = client.Run(connection => connection.SetVariables(batch));
            if (sent == null) return;
            sent.Changed += receipt =>
            {
                // Other commands had used the rate up, or the server did not answer in time; any other refusal would come again.
                var code = receipt.Error == null ? 0 : receipt.Error.Code;
                if (code == ErrorCode.Rate || code == ErrorCode.Timeout) _changed.UnionWith(batch.Keys);
            };
        }

        private void OnHappened(ShotstreamEvent item)
        {
            if (item.Kind == ConnectionEvent.Connected) _changed.UnionWith(_values.Keys);
        }
    }
}
