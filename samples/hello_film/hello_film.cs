// Forty-eight frames of one shot over the bridge; the other languages have the same program with the same output.
using System;
using Shotstream;

internal static class HelloFilm
{
    private static void Main()
    {
        var options = new ConnectionOptions
        {
            ClientName = "hello_film",
            Role = Role.Director,
            Format = PixelFormat.Rgb8,
            Delivery = Delivery.Lossless
        };
        using (var connection = new ShotstreamConnection(options))
        using (var frame = new ShotstreamFrame())
        {
            connection.WaitConnected(60000);
            connection.WaitFrames(60000); // so that not one is missed
            var cut = connection.Cut("wide shot: a red fox walks through a snowy forest", 7, 48);
            cut.WaitAnswer(60000); // throws what the server says against it
            var pixels = new byte[0];
            var crc = 0u;
            for (var taken = 0; taken < 48; taken++)
            {
                if (!connection.Acquire(frame, 60000)) throw new TimeoutException("no frame within a minute");
                if (frame.IsCut) Console.WriteLine("shot " + frame.Shot + " at frame " + frame.Id);
                if (pixels.Length != frame.PackedSize) pixels = new byte[frame.PackedSize];
                if (!frame.CopyTo(pixels)) throw new Exception("the frame was overwritten while it was read");
                crc = Crc32(pixels, crc);
            }
            Console.WriteLine("48 frames " + frame.Width + "x" + frame.Height + " crc32 " + crc.ToString("x8"));
        }
    }

    private static uint Crc32(byte[] bytes, uint crc)
    {
        crc = ~crc;
        foreach (var one in bytes)
        {
            crc ^= one;
            for (var bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0xEDB88320 & (0 - (crc & 1)));
        }
        return ~crc;
    }
}
