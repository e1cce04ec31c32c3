"""A film inside an event loop, beside other work."""

import asyncio
import sys

import shotstream as ss


async def heartbeat() -> None:
    while True:
        print("the loop is free")
        await asyncio.sleep(0.5)


async def main() -> None:
    other_work = asyncio.create_task(heartbeat())
    with ss.open(sys.argv[1] if len(sys.argv) > 1 else "storyworld-tiny", seed=7) as film:
        film.cut("medium shot: a green frog jumps in a meadow in the rain", frames=45)
        async for frame in film:
            if frame.frame_in_shot % 15 == 0:
                print(f"frame {frame.index}, made in a block of {frame.block_ms:.0f} ms")
    other_work.cancel()


asyncio.run(main())
