using System;
using Unity.Collections.LowLevel.Unsafe;
using UnityEngine;
using UnityEngine.Events;
#if UNITY_EDITOR
using UnityEditor;
#endif

namespace Shotstream.Unity
{
    /// <summary>
    /// The connection of a scene: one per server. It polls in Update, keeps the newest picture in <see cref="Texture"/>,
    /// and comes back by itself after an outage; the last picture stays meanwhile.
    /// </summary>
    [AddComponentMenu("Shotstream/Shotstream Client")]
    [DisallowMultipleComponent]
    [DefaultExecutionOrder(-100)]
    public sealed class ShotstreamClient : MonoBehaviour
    {
        [Tooltip("Where the server is. None: the server 'default' of this user on this machine.")]
        [SerializeField] private ShotstreamAddress address = null;

        [Tooltip("Latest skips to the newest picture, Queue keeps a few, Lossless keeps all.")]
        [SerializeField] private Delivery delivery = Delivery.Latest;

        [SerializeField] private UnityEvent onConnected = new UnityEvent();
        [SerializeField] private TextEvent onDisconnected = new TextEvent();
        [SerializeField] private ShotEvent onShotStarted = new ShotEvent();

        [Tooltip("A command was refused or failed, or the server has trouble.")]
        [SerializeField] private TextEvent onTrouble = new TextEvent();

        private readonly ShotstreamFrame _frame = new ShotstreamFrame();
        private ShotstreamConnection _connection;
        private Texture2D _texture;

        /// <summary>A picture was put into <see cref="Texture"/>; the frame tells its numbers, its pixels are gone.</summary>
        public event Action<ShotstreamFrame> FrameShown;

        /// <summary>Every event, as it comes.</summary>
        public event Action<ShotstreamEvent> Happened;

        /// <summary>The newest picture, null before the first one. Another object when the size changes.</summary>
        public Texture2D Texture
        {
            get { return _texture; }
        }

        /// <summary>Everything that is not wrapped here; null while disabled.</summary>
        public ShotstreamConnection Connection
        {
            get { return _connection; }
        }

        public bool IsConnected
        {
            get { return _connection != null && _connection.IsConnected; }
        }

        /// <summary>Why the connection could not be made at all; "" otherwise.</summary>
        public string Problem { get; private set; } = "";

        /// <summary>Where to connect, from the next time the component is enabled.</summary>
        public ShotstreamAddress Address
        {
            get { return address; }
            set { address = value; }
        }

        // --- commands for UnityEvents in the inspector; scripts may use Connection and its receipts ------------------

        public void Cut(string text)
        {
            Run(connection => connection.Cut(text));
        }

        public void Prompt(string text)
        {
            Run(connection => connection.Prompt(text));
        }

        public void Trigger(string beat)
        {
            Run(connection => connection.Trigger(beat));
        }

        public void Hold(bool held)
        {
            Run(connection => connection.Hold(held));
        }

        public void Checkpoint(string checkpoint)
        {
            Run(connection => connection.Checkpoint(checkpoint));
        }

        public void Restore(string checkpoint)
        {
            Run(connection => connection.Restore(checkpoint));
        }

        /// <summary>Sends a command; what becomes of it is in the receipt, null when it could not be sent. Refusals are also
        /// told by On Trouble.</summary>
        public Receipt Run(Func<ShotstreamConnection, Receipt> command)
        {
            if (_connection == null)
            {
                Trouble("shotstream: there is no connection; enable the client first");
                return null;
            }
            try
            {
                var receipt = command(_connection);
                receipt.Changed += TellRefusal;
                return receipt;
            }
            catch (ShotstreamException error)
            {
                Trouble(error.Message);
                return null;
            }
        }

        // --- Unity's calls -------------------------------------------------------------------------------------------

        private void OnEnable()
        {
            Problem = "";
            var options = address != null ? address.Options() : new ConnectionOptions { Role = Role.Trigger };
            options.ClientName = Application.productName;
            options.Engine = "unity " + Application.unityVersion;
            options.Format = PixelFormat.Rgba8;
            options.Origin = Origin.BottomLeft; // texture data begins with the bottom row
            options.Delivery = delivery;
            try
            {
                _connection = new ShotstreamConnection(options);
            }
            catch (Exception error) when (error is ShotstreamException || error is DllNotFoundException
                                                                        || error is PlatformNotSupportedException)
            {
                Problem = error.Message;
                Debug.LogError("shotstream: " + error.Message, this);
            }
#if UNITY_EDITOR
            // Scripts that are compiled anew lose the object that owns the connection; leave the server before.
            AssemblyReloadEvents.beforeAssemblyReload += Disconnect;
            EditorApplication.playModeStateChanged += OnPlayModeChanged;
#endif
        }

        private void OnDisable()
        {
#if UNITY_EDITOR
            AssemblyReloadEvents.beforeAssemblyReload -= Disconnect;
            EditorApplication.playModeStateChanged -= OnPlayModeChanged;
#endif
            Disconnect();
        }

        private void OnDestroy()
        {
            if (_texture != null) Destroy(_texture);
            _texture = null;
        }

        private void Update()
        {
            if (_connection == null) return;
            try
            {
                for (var item = _connection.NextEvent(); item != null; item = _connection.NextEvent())
                {
                    Tell(item);
                    if (_connection == null) return; // a listener disabled this
                }
                Show();
            }
            catch (ShotstreamException error)
            {
                Disconnect(); // the server refuses the stream for good; enabling the component tries again
                Problem = error.Message;
                Trouble(error.Message);
            }
        }

        private void Disconnect()
        {
            if (_connection == null) return;
            _frame.Release();
            _connection.Dispose();
            _connection = null;
        }

#if UNITY_EDITOR
        private void OnPlayModeChanged(PlayModeStateChange change)
        {
            if (change == PlayModeStateChange.ExitingPlayMode) Disconnect();
        }
#endif

        private void Tell(ShotstreamEvent item)
        {
            switch (item.Kind)
            {
                case ConnectionEvent.Connected:
                    onConnected.Invoke();
                    break;
                case ConnectionEvent.Disconnected:
                    onDisconnected.Invoke(item.Text);
                    break;
                case EventKind.ShotStart:
                    onShotStarted.Invoke((int)item.Shot);
                    break;
                case EventKind.Engine:
                case EventKind.Moderation:
                    Trouble(item.Text);
                    break;
            }
            var happened = Happened;
            if (happened != null) happened(item);
        }

        private void TellRefusal(Receipt receipt)
        {
            if (receipt.Error != null) Trouble(receipt.Name + ": " + receipt.Error.Message);
        }

        private void Trouble(string text)
        {
            Debug.LogWarning("shotstream: " + text, this);
            onTrouble.Invoke(text);
        }

        private unsafe void Show()
        {
            if (!_connection.Acquire(_frame)) return;
            if (_texture == null || _texture.width != _frame.Width || _texture.height != _frame.Height)
            {
                if (_texture != null) Destroy(_texture);
                _texture = new Texture2D(_frame.Width, _frame.Height, TextureFormat.RGBA32, false, false)
                {
                    name = "Shotstream",
                    wrapMode = TextureWrapMode.Clamp,
                    hideFlags = HideFlags.DontSave
                };
            }
            var pixels = _texture.GetRawTextureData<byte>(); // the texture's own memory: no array, no second copy
            var whole = _frame.CopyTo((IntPtr)NativeArrayUnsafeUtility.GetUnsafePtr(pixels), pixels.Length);
            _frame.Release();
            if (!whole) return; // overwritten while it was copied; the next one is near
            _texture.Apply(false, false);
            var shown = FrameShown;
            if (shown != null) shown(_frame);
        }
    }
}
