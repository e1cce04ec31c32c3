"""The screen in the 3D street, drawn in software: right way up, right colours."""

import re

import numpy as np
import pytest
from PIL import Image

import shotstream as ss
from shotstream.testing import read_chart

PROMPT = "a red fox"


@pytest.fixture
def film(serve, python, pictures):
    """What the screen shows after some frames, at the size of the stream; and which frame that is."""
    pytest.importorskip("panda3d", reason="panda3d is not installed; the extra [samples] brings it")
    path = pictures / "screen_in_scene.png"
    arguments = ("--prompt", PROMPT, "--frames", 25, "--screenshot", path)
    out = python("screen_in_scene/screen_in_scene.py", *arguments, server=serve())
    box = [int(number) for number in re.search(r"screen at (\d+) (\d+) (\d+) (\d+)", out).groups()]
    number = int(re.search(r"shows frame (\d+) of shot 0", out).group(1))
    window = Image.open(path).convert("RGB")
    return np.asarray(window), np.asarray(window.crop(box).resize((160, 96), Image.BOX)), number


def test_the_screen_shows_the_newest_frame_upright_in_its_colours(film):
    window, shown, number = film
    with ss.open("test-chart") as original:
        original.cut(PROMPT)
        image = [frame.image for frame in original.frames(count=number + 1)][-1]
    assert read_chart(shown) == read_chart(image), "upside down or mirrored, the digits would not be read"
    background = image[-4, -4].astype(int)
    assert len(set(background)) == 3, "the chart's colour tells red from blue"
    assert abs(shown[-10:-4, -10:-4].astype(int) - background).max() <= 3
    assert len(np.unique(window.reshape(-1, 3), axis=0)) > 100, "there is a street around it"
