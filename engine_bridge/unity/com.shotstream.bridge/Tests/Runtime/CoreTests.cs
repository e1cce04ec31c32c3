using System;
using NUnit.Framework;

namespace Shotstream.Unity.Tests
{
    /// <summary>What can be checked in the editor without a server; needs the native library.</summary>
    public sealed class CoreTests
    {
        [Test]
        public void ClientOfNoServerIsMadeAndDisposed()
        {
            var connection = new ShotstreamConnection(new ConnectionOptions { ServerName = "nobody_is_there" });
            Assert.IsFalse(connection.IsConnected);
            var began = ShotstreamConnection.NowNs;
            connection.Dispose();
            connection.Dispose();
            Assert.Less((ShotstreamConnection.NowNs - began) / 1e9, 2.0);
        }

        [Test]
        public void CommandBeforeTheFirstConnectionIsRefused()
        {
            using (var connection = new ShotstreamConnection(new ConnectionOptions { ServerName = "nobody_is_there" }))
            {
                var error = Assert.Throws<ShotstreamException>(() => connection.Cut("a fox"));
                Assert.AreEqual(ErrorCode.Connect, error.Code);
            }
        }

        [Test]
        public void FrameWithoutPixelsIsNotCopied()
        {
            Assert.Throws<InvalidOperationException>(() => new ShotstreamFrame().CopyTo(new byte[16]));
        }

        [Test]
        public void ValuesKeepTheirType()
        {
            Value[] values = { 3, 0.5, true, "fog" };
            Assert.AreEqual("3 0.5 true fog", string.Join(" ", values));
        }
    }
}
