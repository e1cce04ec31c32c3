"""An open-air cinema in a street at night, of boxes and flat shades. Lengths are metres, z is up."""

from __future__ import annotations

import math
import random

from panda3d.core import (
    CullFaceAttrib,
    Geom,
    GeomNode,
    GeomTriangles,
    GeomVertexData,
    GeomVertexFormat,
    GeomVertexWriter,
    NodePath,
    TransparencyAttrib,
)

Colour = tuple[float, float, float]
Point = tuple[float, float, float]
SKY_LOW, SKY_HIGH = (0.30, 0.20, 0.34), (0.05, 0.06, 0.16)
WALLS: tuple[Colour, ...] = ((0.20, 0.15, 0.20), (0.15, 0.16, 0.24), (0.22, 0.16, 0.15), (0.13, 0.18, 0.21))
LIT: tuple[Colour, ...] = ((0.98, 0.82, 0.48), (0.95, 0.72, 0.38), (0.72, 0.86, 0.95))
BULBS: tuple[Colour, ...] = ((1.0, 0.86, 0.55), (1.0, 0.62, 0.5), (0.62, 0.86, 1.0))
DARK: Colour = (0.08, 0.08, 0.13)
ASPHALT: Colour = (0.10, 0.10, 0.14)
SHADES = {"top": 1.25, "front": 1.0, "left": 0.72, "right": 0.72}


class Mesh:
    """Collects coloured faces; ``node`` makes a scene node of them."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._data = GeomVertexData(name, GeomVertexFormat.get_v3c4(), Geom.UH_static)
        self._vertex = GeomVertexWriter(self._data, "vertex")
        self._colour = GeomVertexWriter(self._data, "color")
        self._triangles = GeomTriangles(Geom.UH_static)
        self._count = 0

    def quad(self, corners: tuple[Point, ...], *colours: tuple[float, ...]) -> None:
        """Four corners, counter-clockwise as seen; one colour, or one for each corner."""
        for number, corner in enumerate(corners):
            colour = colours[number % len(colours)]
            self._vertex.add_data3(*corner)
            self._colour.add_data4(*colour[:3], colour[3] if len(colour) > 3 else 1.0)
        first = self._count
        self._triangles.add_vertices(first, first + 1, first + 2)
        self._triangles.add_vertices(first, first + 2, first + 3)
        self._count += 4

    def box(self, x: float, y: float, z: float, size: Point, colour: Colour) -> None:
        """A box by its near lower left corner: the faces that a viewer in front can see."""
        w, d, h = size
        shade = {side: tuple(min(1.0, part * by) for part in colour) for side, by in SHADES.items()}
        self.quad(((x, y, z), (x + w, y, z), (x + w, y, z + h), (x, y, z + h)), shade["front"])
        self.quad(((x, y, z + h), (x + w, y, z + h), (x + w, y + d, z + h), (x, y + d, z + h)), shade["top"])
        self.quad(((x, y + d, z), (x, y, z), (x, y, z + h), (x, y + d, z + h)), shade["left"])
        self.quad(((x + w, y, z), (x + w, y + d, z), (x + w, y + d, z + h), (x + w, y, z + h)), shade["right"])

    def upright(self, x: float, y: float, z: float, width: float, height: float, colour: Colour) -> None:
        """A rectangle that faces the viewer, by its lower left corner."""
        self.quad(((x, y, z), (x + width, y, z), (x + width, y, z + height), (x, y, z + height)), colour)

    def node(self) -> NodePath:
        geom = Geom(self._data)
        geom.add_primitive(self._triangles)
        node = GeomNode(self._name)
        node.add_geom(geom)
        return NodePath(node)


def build_street(root: NodePath, screen: NodePath, *, width_m: float, height_m: float) -> NodePath:
    """Put the street under ``root`` with ``screen`` on its stage; returns what the screen lights up, to be coloured."""
    standing = root.attach_new_node("standing")
    left, bottom, depth = -width_m / 2, 1.9, 16.0
    screen.reparent_to(standing)
    screen.set_pos(left, depth, bottom)
    _sky().reparent_to(root)
    _houses().reparent_to(standing)
    _stage(left, depth, bottom, width_m, height_m).reparent_to(standing)
    lamps = _lamps()
    lamps.reparent_to(standing)

    # The wet street: everything once more upside down, under a ground that lets a little of it through.
    mirror = root.attach_new_node("mirror")
    standing.instance_to(mirror)
    mirror.set_sz(-1)
    mirror.set_attrib(CullFaceAttrib.make_reverse())
    ground = _ground()
    ground.reparent_to(root)
    ground.set_transparency(TransparencyAttrib.M_alpha)

    shine = _shine(width_m, depth)
    shine.reparent_to(root)
    shine.set_transparency(TransparencyAttrib.M_alpha)
    shine.set_bin("fixed", 0)
    shine.set_depth_write(False)
    _audience().reparent_to(root)
    return shine


def _sky() -> NodePath:
    mesh = Mesh("sky")
    mesh.quad(((-80, 60, -30), (80, 60, -30), (80, 60, 12), (-80, 60, 12)), SKY_LOW)
    mesh.quad(((-80, 60, 12), (80, 60, 12), (80, 60, 44), (-80, 60, 44)), SKY_LOW, SKY_LOW, SKY_HIGH, SKY_HIGH)
    rng = random.Random(3)
    for _ in range(70):
        x, z, size = rng.uniform(-45, 45), rng.uniform(14, 36), rng.uniform(0.05, 0.13)
        glow = rng.uniform(0.5, 1.0)
        mesh.upright(x, 59, z, size, size, (glow, glow, glow * 0.95))
    return mesh.node()


def _houses() -> NodePath:
    """Two rows along the street, and the block behind the stage."""
    mesh = Mesh("houses")
    rng = random.Random(8)
    for number in range(7):
        x = -24 + number * 7.2
        _house(mesh, rng, x, 26.0, (6.9, 4.0, rng.uniform(8.0, 15.0)))
    for side in (-1, 1):
        for number in range(4):
            y, height, face = 5.0 + number * 5.2, rng.uniform(5.5, 10.0), side * 8.6
            mesh.box(min(face, face + side * 4), y, 0, (4, 5.0, height), rng.choice(WALLS))
            face -= side * 0.02
            for floor in range(int(height // 1.7)):
                for window in range(3):
                    low, near = 0.8 + floor * 1.7, y + 0.6 + window * 1.5
                    first, last = (near, near + 0.8) if side < 0 else (near + 0.8, near)
                    corners = ((face, first, low), (face, last, low), (face, last, low + 1), (face, first, low + 1))
                    mesh.quad(corners, rng.choice(LIT) if rng.random() < 0.45 else DARK)
    return mesh.node()


def _house(mesh: Mesh, rng: random.Random, x: float, y: float, size: Point) -> None:
    mesh.box(x, y, 0, size, rng.choice(WALLS))
    for row in range(int(size[2] // 1.6) - 1):
        for column in range(4):
            low, at = 1.0 + row * 1.6, x + 0.6 + column * 1.6
            mesh.upright(at, y - 0.02, low, 0.8, 0.9, rng.choice(LIT) if rng.random() < 0.4 else DARK)


def _stage(left: float, depth: float, bottom: float, width: float, height: float) -> NodePath:
    """The frame around the screen, its legs and a platform."""
    mesh = Mesh("stage")
    edge, frame = 0.28, (0.07, 0.07, 0.10)
    mesh.box(left - edge, depth + 0.05, bottom - edge, (width + 2 * edge, 0.5, height + 2 * edge), frame)
    for x in (left + 0.3, -left - 0.7):
        mesh.box(x, depth + 0.1, 0, (0.4, 0.4, bottom), frame)
    mesh.box(left - 0.8, depth - 1.2, 0, (width + 1.6, 2.4, 0.5), (0.24, 0.16, 0.14))
    return mesh.node()


def _lamps() -> NodePath:
    """Poles along both sides, and a string of lights between them."""
    mesh = Mesh("lamps")
    for x in (-7.0, 7.0):
        for y in (4.0, 9.0, 14.0):
            mesh.box(x - 0.07, y, 0, (0.14, 0.14, 5.0), (0.10, 0.10, 0.13))
        for number in range(41):
            y = 4.0 + number / 4
            z = 5.0 - 0.8 * math.sin(number / 20 * math.pi) ** 2
            mesh.upright(
                x - 0.06, y, z, 0.12, 0.13, ((1.0, 0.86, 0.55), (1.0, 0.62, 0.5), (0.62, 0.86, 1.0))[number % 3]
            )
    return mesh.node()


def _ground() -> NodePath:
    mesh = Mesh("ground")
    far, near = (*ASPHALT, 0.72), (0.06, 0.06, 0.09, 0.93)
    mesh.quad(((-40, -4, 0), (40, -4, 0), (40, 60, 0), (-40, 60, 0)), near, near, far, far)
    return mesh.node()


def _shine(width: float, depth: float) -> NodePath:
    """A pool of light on the street in front of the screen, fading to all sides; white, to be coloured."""
    mesh = Mesh("shine")
    strong, none = (1, 1, 1, 0.30), (1, 1, 1, 0.0)
    half, reach, front, back, z = width / 2, width / 2 + 3.5, depth - 8.5, depth - 1.2, 0.02
    mesh.quad(((-half, front, z), (half, front, z), (half, back, z), (-half, back, z)), none, none, strong, strong)
    mesh.quad(((half, front, z), (reach, front, z), (reach, back, z), (half, back, z)), none, none, none, strong)
    mesh.quad(((-reach, front, z), (-half, front, z), (-half, back, z), (-reach, back, z)), none, none, strong, none)
    return mesh.node()


def _audience() -> NodePath:
    """Benches with heads above them, some with the ears of a fox."""
    mesh = Mesh("audience")
    rng = random.Random(21)
    for row, y in enumerate((5.2, 6.9, 8.6)):
        for x in (-4.6, 0.7):
            mesh.box(x, y, 0, (3.9, 0.4, 0.42), (0.13, 0.09, 0.09))
            for seat in range(4):
                if rng.random() < 0.2:
                    continue
                colour = rng.choice([(0.20, 0.10, 0.08), (0.10, 0.12, 0.2), (0.13, 0.17, 0.12), (0.19, 0.15, 0.20)])
                centre = x + 0.5 + seat * 0.98 + rng.uniform(-0.1, 0.1)
                tall = rng.uniform(0.0, 0.14)
                _sitter(mesh, centre, y, 0.42 + tall, colour, ears=(row + seat) % 3 != 1)
    return mesh.node()


def _sitter(mesh: Mesh, x: float, y: float, z: float, colour: Colour, *, ears: bool) -> None:
    red, green, blue = (part * 1.3 for part in colour)
    mesh.box(x - 0.24, y - 0.02, z, (0.48, 0.3, 0.52), colour)
    mesh.box(x - 0.19, y - 0.02, z + 0.54, (0.38, 0.3, 0.34), (red, green, blue))
    if ears:
        for side in (-0.19, 0.05):
            tip, foot = (x + side + 0.07, y - 0.02, z + 1.1), z + 0.88
            mesh.quad(((x + side, y - 0.02, foot), (x + side + 0.14, y - 0.02, foot), tip, tip), (red, green, blue))
