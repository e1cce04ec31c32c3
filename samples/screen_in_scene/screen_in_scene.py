"""An open-air cinema in a 3D scene; its screen shows the stream of a server.

shotstream serve
python samples/screen_in_scene/screen_in_scene.py                    # a window
python samples/screen_in_scene/screen_in_scene.py --screenshot street.png --frames 30      # no display needed
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

from direct.showbase.ShowBase import ShowBase
from direct.task.Task import Task
from panda3d.core import Point2, Point3, loadPrcFileData
from screen import Screen
from street import SKY_HIGH, build_street

import shotstream

SIZE = (960, 540)
SCREEN_WIDTH_M = 8.8


class Cinema(ShowBase):
    """The scene. Every tick takes the newest frame, if there is one; a server that is away leaves the picture."""

    def __init__(self, client: shotstream.bridge.client.Client) -> None:
        super().__init__()
        self.setBackgroundColor(*SKY_HIGH)
        self.disableMouse()
        self.screen = Screen(client, width_m=SCREEN_WIDTH_M)
        self._shine = build_street(self.render, self.screen.node, width_m=SCREEN_WIDTH_M, height_m=self.screen.height_m)
        self.camLens.setFov(58)
        self.camera.setPos(0.0, 0.0, 2.9)  # facing the screen squarely
        self.taskMgr.add(self._tick, "film")

    def sway(self, task: Task) -> int:
        """Walk slowly from side to side."""
        self.camera.setX(0.6 * math.sin(task.time / 4))
        return task.cont

    def screen_box(self) -> tuple[int, int, int, int]:
        """Where the screen is in the window: left, top, right, bottom in pixels."""
        node, width, height = self.screen.node, self.screen.width_m, self.screen.height_m
        spots = []
        for corner in (Point3(0, 0, height), Point3(width, 0, 0)):
            spot = Point2()
            self.camLens.project(self.camera.getRelativePoint(node, corner), spot)
            spots.append((round((spot.x + 1) / 2 * SIZE[0]), round((1 - spot.y) / 2 * SIZE[1])))
        return (*spots[0], *spots[1])

    def _tick(self, task: Task) -> int:
        if self.screen.update():
            self._shine.setColorScale(*(0.15 + 0.85 * part for part in self.screen.light), 1)
        return task.cont


def film_until(cinema: Cinema, num_frames: int) -> None:
    """Draw until the screen has shown so many frames."""
    while cinema.screen.num_frames < num_frames:
        cinema.taskMgr.step()
        time.sleep(0.005)
    cinema.graphicsEngine.renderFrame()  # the last frame too, which the tick may have taken after drawing


def main() -> None:
    parser = argparse.ArgumentParser(description="A screen in a 3D street that shows the stream of a server.")
    parser.add_argument("--name", default="default", help="which server on this machine")
    parser.add_argument("--prompt", default="wide shot: a red fox walks through a snowy forest", help="what to show")
    parser.add_argument("--screenshot", type=Path, help="draw without a display, write this PNG, and stop")
    parser.add_argument("--frames", type=int, default=30, help="frames on the screen before the screenshot")
    options = parser.parse_args()

    settings = f"win-size {SIZE[0]} {SIZE[1]}\nwindow-title shotstream\naudio-library-name null\nnotify-level error\n"
    if options.screenshot is not None:
        settings += "load-display p3tinydisplay\nwindow-type offscreen\n"  # a renderer in software
    loadPrcFileData("", settings)
    with shotstream.connect(name=options.name, client="screen_in_scene") as client:
        cinema = Cinema(client)
        client.cut(options.prompt)
        if options.screenshot is None:
            cinema.taskMgr.add(cinema.sway, "sway")
            cinema.run()  # until the window is closed
        film_until(cinema, options.frames)
        cinema.win.saveScreenshot(str(options.screenshot))
        frame = cinema.screen.frame
        print("screen at", *cinema.screen_box(), "shows frame", frame.index, "of shot", frame.shot)


if __name__ == "__main__":
    main()
