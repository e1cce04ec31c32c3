"""Forty-eight frames of one shot over the bridge. C, C# and GDScript have the same program with the same output."""

import zlib

import shotstream

with shotstream.connect(client="hello_film") as client:
    frames = client.frames(count=48, mode="lossless", timeout=60)  # asked for first, so that not one is missed
    client.cut("wide shot: a red fox walks through a snowy forest", seed=7, frames=48)
    crc = 0
    for frame in frames:
        if frame.is_cut:
            print(f"shot {frame.shot} at frame {frame.index}")
        crc = zlib.crc32(frame.image.tobytes(), crc)
    print(f"48 frames {client.stream.w}x{client.stream.h} crc32 {crc:08x}")
