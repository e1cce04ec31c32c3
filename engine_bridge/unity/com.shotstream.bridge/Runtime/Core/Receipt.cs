using System;
using System.Text;

namespace Shotstream
{
    /// <summary>What became of one request. It is brought up to date whenever events are polled.</summary>
    public sealed class Receipt
    {
        private readonly ShotstreamConnection _connection;
        private readonly bool _moves; // states follow its answer, although that has no number yet
        private readonly float[] _latencyMs = { -1, -1, -1, -1, -1, -1, -1, -1 };

        internal Receipt(ShotstreamConnection connection, string name, uint request, bool moves)
        {
            _connection = connection;
            _moves = moves;
            Note = "";
            Name = name;
            Request = request;
            Frame = -1;
            Shot = -1;
        }

        /// <summary>It was taken or refused, or moved on. Called where events are polled.</summary>
        public event Action<Receipt> Changed;

        /// <summary>"cut", "trigger", ...</summary>
        public string Name { get; private set; }

        public uint Request { get; private set; }

        /// <summary>The server has taken or refused it.</summary>
        public bool IsAnswered { get; private set; }

        /// <summary>Why it was refused or came to nothing; null otherwise.</summary>
        public ShotstreamException Error { get; private set; }

        /// <summary>The server has taken it.</summary>
        public bool IsAccepted
        {
            get { return IsAnswered && Error == null; }
        }

        /// <summary>
        /// Number of the command in the film; 0 when the request was done with its answer, or for a beat that waits for its
        /// turn.
        /// </summary>
        public uint Command { get; private set; }

        /// <summary>How far the command is; null before its first state.</summary>
        public CommandState? State { get; private set; }

        /// <summary>First frame that shows the command; of a checkpoint, the first after a restore. -1: not known.</summary>
        public long Frame { get; private set; }

        /// <summary>Shot of a checkpoint; -1 otherwise.</summary>
        public long Shot { get; private set; }

        /// <summary>Size of a checkpoint, or of what <see cref="ReadBytes"/> gives.</summary>
        public uint Bytes { get; private set; }

        /// <summary>Why the command was superseded, by what; "" otherwise.</summary>
        public string Note { get; private set; }

        /// <summary>Nothing more will change.</summary>
        public bool IsDone
        {
            get
            {
                if (!IsAnswered) return false;
                var ends = State == CommandState.Presented || State == CommandState.Superseded;
                return Error != null || ends || (Command == 0 && !_moves);
            }
        }

        /// <summary>Milliseconds from the request's arrival at the server to a state; -1 when it was not reached.</summary>
        public float LatencyMs(CommandState state)
        {
            return _latencyMs[(int)state];
        }

        /// <summary>The command has come to <paramref name="state"/>, or past it.</summary>
        public bool Reached(CommandState state)
        {
            return _latencyMs[(int)state] >= 0 || (State.HasValue && State <= CommandState.Presented && State >= state);
        }

        /// <summary>
        /// Polls until the server has answered, for programs without a tick of their own.
        /// </summary>
        /// <returns>False when the time is over.</returns>
        /// <exception cref="ShotstreamException">It was refused.</exception>
        public bool WaitAnswer(int timeoutMs)
        {
            _connection.PollUntil(() => IsAnswered, timeoutMs);
            if (Error != null) throw Error;
            return IsAnswered;
        }

        /// <summary>
        /// Polls until the command has come to <paramref name="state"/>. For Presented somebody has to take frames meanwhile.
        /// </summary>
        /// <returns>False when the time is over, or the command was superseded.</returns>
        /// <exception cref="ShotstreamException">It was refused, or failed.</exception>
        public bool Wait(CommandState state, int timeoutMs)
        {
            _connection.PollUntil(() => IsDone || Reached(state), timeoutMs);
            if (Error != null) throw Error;
            return Reached(state);
        }

        /// <summary>What the answer to a download brought. Once.</summary>
        public byte[] ReadBytes()
        {
            return _connection.ReadAnswer(Request);
        }

        /// <summary>What the answer to a query brought, as JSON. Once.</summary>
        public string ReadText()
        {
            return Encoding.UTF8.GetString(ReadBytes());
        }

        internal void OnAnswer(ShotstreamEvent answer)
        {
            IsAnswered = true;
            Command = answer.Command;
            Frame = answer.Frame;
            Shot = answer.Shot;
            Bytes = answer.Count;
            if (answer.Code < 0) Error = new ShotstreamException((ErrorCode)answer.Code, answer.Text);
            Tell();
        }

        internal void OnState(ShotstreamEvent state)
        {
            State = (CommandState)state.Code;
            if (state.Frame >= 0) Frame = state.Frame;
            if (state.Command != 0) Command = state.Command;
            Array.Copy(state.LatencyMs, _latencyMs, _latencyMs.Length);
            if (State == CommandState.Superseded) Note = state.Text;
            if (State == CommandState.Failed) Error = new ShotstreamException(ErrorCode.Internal, state.Text);
            Tell();
        }

        internal void OnServerRestarted()
        {
            Error = new ShotstreamException(ErrorCode.Stale,
                "the server was restarted; what this request asked for is gone with it");
            Tell();
        }

        private void Tell()
        {
            var changed = Changed;
            if (changed != null) changed(this);
        }
    }
}
