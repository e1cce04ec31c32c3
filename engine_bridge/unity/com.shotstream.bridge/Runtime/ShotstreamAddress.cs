using UnityEngine;

namespace Shotstream.Unity
{
    /// <summary>
    /// Where the server is and what this game may do there. A server of this user on this machine needs nothing but its
    /// name; the rest is for other machines, and is stored in the project as plain text.
    /// </summary>
    [CreateAssetMenu(menuName = "Shotstream/Address", fileName = "Shotstream Address")]
    public sealed class ShotstreamAddress : ScriptableObject
    {
        [Tooltip("The --name of a server on this machine.")]
        public string serverName = "default";

        [Tooltip("A shipped game needs no more than Trigger: it can name events, not write prompts.")]
        public Role role = Role.Trigger;

        [Tooltip("tcp://IP:PORT of another machine. Empty: the server on this machine.")]
        public string endpoint = "";

        [Tooltip("Needed with an endpoint on this machine. Give a shipped game the token of the role Trigger.")]
        public string token = "";

        [Header("CURVE keys for another machine, 40 characters each")]
        public string serverKey = "";

        public string publicKey = "";

        public string secretKey = "";

        internal ConnectionOptions Options()
        {
            return new ConnectionOptions
            {
                ServerName = serverName,
                Role = role,
                Endpoint = endpoint,
                Token = token,
                ServerKey = serverKey,
                PublicKey = publicKey,
                SecretKey = secretKey
            };
        }
    }
}
