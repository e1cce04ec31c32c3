using System.Collections.Generic;
using UnityEngine;
using UnityEngine.Events;

namespace Shotstream.Unity
{
    /// <summary>
    /// A named event of the story, triggered by the game: when something touches this object, comes near it, after a time,
    /// or by a call of <see cref="Trigger"/>.
    /// </summary>
    [AddComponentMenu("Shotstream/Shotstream Beat")]
    public sealed class ShotstreamBeat : MonoBehaviour
    {
        public enum Activation
        {
            /// <summary>Only by <see cref="Trigger"/>.</summary>
            Manual,

            /// <summary>Something enters the trigger collider of this object, or collides with it.</summary>
            Collision,

            /// <summary><see cref="target"/> comes within <see cref="radius"/>.</summary>
            Proximity,

            /// <summary><see cref="delay"/> after the object was enabled.</summary>
            Time
        }

        [Tooltip("None: the first one in the scene.")]
        [SerializeField] private ShotstreamClient client = null;

        [SerializeField] private string beat = "";

        [SerializeField] private List<Parameter> parameters = new List<Parameter>();

        [SerializeField] private Activation activation = Activation.Manual;

        [Tooltip("Collision: only objects with this tag. Empty: all.")]
        [SerializeField] private string onlyTag = "Player";

        [Tooltip("Proximity: who has to come near.")]
        [SerializeField] private Transform target = null;

        [Tooltip("Proximity: how near, in metres.")]
        [SerializeField] private float radius = 3;

        [Tooltip("Time: seconds.")]
        [SerializeField] private float delay = 5;

        [Tooltip("Happens once until the object is enabled again. Off: again on every touch or approach.")]
        [SerializeField] private bool once = true;

        [SerializeField] private UnityEvent onAccepted = new UnityEvent();

        [Tooltip("The first picture of the beat is on its way to the screen.")]
        [SerializeField] private UnityEvent onAir = new UnityEvent();

        [SerializeField] private TextEvent onFailed = new TextEvent();

        private bool _spent, _near;
        private float _enabledAt;

        /// <summary>Makes it happen now, whatever its activation, also a second time.</summary>
        public void Trigger()
        {
            _spent = true;
            if (client == null)
            {
                onFailed.Invoke("there is no Shotstream Client in the scene");
                return;
            }
            var receipt = client.Run(connection => connection.Trigger(beat, Parameter.Values(parameters)));
            if (receipt == null)
            {
                onFailed.Invoke("the beat '" + beat + "' could not be sent");
                return;
            }
            var accepted = false;
            var shown = false;
            receipt.Changed += _ =>
            {
                if (receipt.Error != null)
                {
                    onFailed.Invoke(receipt.Error.Message);
                    return;
                }
                if (receipt.IsAccepted && !accepted)
                {
                    accepted = true;
                    onAccepted.Invoke();
                }
                if (receipt.Reached(CommandState.OnAir) && !shown)
                {
                    shown = true;
                    onAir.Invoke();
                }
                if (receipt.State == CommandState.Superseded) onFailed.Invoke(receipt.Note);
            };
        }

        private void OnEnable()
        {
            if (client == null) client = FindObjectOfType<ShotstreamClient>();
            _spent = _near = false;
            _enabledAt = UnityEngine.Time.time;
        }

        private void Update()
        {
            if (activation == Activation.Time && !_spent && UnityEngine.Time.time - _enabledAt >= delay) Trigger();
            if (activation != Activation.Proximity || target == null) return;
            var was = _near;
            _near = (target.position - transform.position).sqrMagnitude <= radius * radius;
            if (_near && !was) Touched();
        }

        private void OnTriggerEnter(Collider other)
        {
            if (activation == Activation.Collision && IsMeant(other.gameObject)) Touched();
        }

        private void OnCollisionEnter(Collision collision)
        {
            if (activation == Activation.Collision && IsMeant(collision.gameObject)) Touched();
        }

        private bool IsMeant(GameObject other)
        {
            return onlyTag == "" || other.CompareTag(onlyTag);
        }

        private void Touched()
        {
            if (!(once && _spent)) Trigger();
        }
    }
}
