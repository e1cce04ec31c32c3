"""Ten lines from a prompt to pictures: six seconds of film as an animated GIF."""

import sys

from PIL import Image

import shotstream as ss

pictures = []
with ss.open(sys.argv[1] if len(sys.argv) > 1 else "storyworld-tiny", seed=7) as film:
    film.cut("wide shot: a red fox walks through a snowy forest")
    for frame in film.frames(seconds=3):
        pictures.append(Image.fromarray(frame.image))
    film.cut("close-up: the fox looks up at the stars")
    for frame in film.frames(seconds=3):
        pictures.append(Image.fromarray(frame.image))

pictures[0].save("first_film.gif", save_all=True, append_images=pictures[1:], duration=1000 / 16, loop=0)
print(f"{len(pictures)} frames in first_film.gif")
