"""A screen in a Panda3D scene that shows a stream.

Panda3D keeps textures as BGRA with the bottom row first, and its software renderer wants sizes that are powers of two.
So the server is asked for exactly those bytes, and they go into the corner of a larger texture; the screen's texture
coordinates end where the picture does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from panda3d.core import (
    Geom,
    GeomNode,
    GeomTriangles,
    GeomVertexData,
    GeomVertexFormat,
    GeomVertexWriter,
    NodePath,
    SamplerState,
    Texture,
)

from shotstream.bridge.client import Client
from shotstream.bridge.remote import RemoteFrame


class Screen:
    """A flat screen, ``width_m`` wide in the shape of the stream, its lower left corner at the origin of ``node``."""

    def __init__(self, client: Client, *, width_m: float) -> None:
        info = client.stream
        self.width_m, self.height_m = width_m, width_m * info.h / info.w
        self._size = (info.w, info.h)
        self._stream = client.open_stream(mode="latest", format="bgra8", origin="bottom_left")
        self.texture = Texture("film")
        wide, high = _power_of_two(info.w), _power_of_two(info.h)
        self.texture.setup_2d_texture(wide, high, Texture.T_unsigned_byte, Texture.F_rgba8)
        self.texture.set_clear_color((0.02, 0.02, 0.03, 1))
        self.texture.clear_image()
        self.texture.set_minfilter(SamplerState.FT_linear)
        self.texture.set_magfilter(SamplerState.FT_linear)
        self.node = self._quad(info.w / wide, info.h / high, 0.5 / wide, 0.5 / high)
        self.frame: RemoteFrame | None = None
        self.num_frames = 0

    def update(self) -> bool:
        """Take the newest frame, if there is one. Call it once a tick; it never waits."""
        if not self._stream.ready:
            return False
        self.frame = frame = self._stream.take()
        width, height = self._size
        memory = np.frombuffer(memoryview(self.texture.modify_ram_image()), np.uint8)
        memory.reshape(self.texture.get_y_size(), self.texture.get_x_size(), 4)[:height, :width] = frame.image
        self._stream.release()
        self.num_frames += 1
        return True

    @property
    def light(self) -> NDArray[np.float64]:
        """Mean colour of the picture, red, green, blue in 0..1: what the screen sheds on its surroundings."""
        if self.frame is None:
            return np.zeros(3)
        return self.frame.image[::8, ::8, 2::-1].mean(axis=(0, 1)) / 255

    def _quad(self, u: float, v: float, half_u: float, half_v: float) -> NodePath:
        data = GeomVertexData("screen", GeomVertexFormat.get_v3t2(), Geom.UH_static)
        vertex, texcoord = GeomVertexWriter(data, "vertex"), GeomVertexWriter(data, "texcoord")
        # Half a texel inside the picture, so that what lies around it in the texture does not shine through.
        for x, z, s, t in (
            (0, 0, half_u, half_v),
            (1, 0, u - half_u, half_v),
            (1, 1, u - half_u, v - half_v),
            (0, 1, half_u, v - half_v),
        ):
            vertex.add_data3(x * self.width_m, 0, z * self.height_m)
            texcoord.add_data2(s, t)
        triangles = GeomTriangles(Geom.UH_static)
        triangles.add_vertices(0, 1, 2)
        triangles.add_vertices(0, 2, 3)
        geom = Geom(data)
        geom.add_primitive(triangles)
        node = GeomNode("screen")
        node.add_geom(geom)
        path = NodePath(node)
        path.set_texture(self.texture)
        path.set_light_off()
        return path


def _power_of_two(size: int) -> int:
    return 1 << (size - 1).bit_length()
