"""Packing equals a plain numpy version byte for byte, and shows colours and corners where receivers expect them."""

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shotstream import _native
from shotstream.bridge.pixels import Origin, PixelFormat, PixelLayout, measure
from shotstream.errors import ConfigError

CORNERS = {
    "top left": (255, 0, 0),
    "top right": (0, 255, 0),
    "bottom left": (0, 0, 255),
    "bottom right": (250, 130, 10),
}


def corner_chart(width=20, height=12):
    """Every corner its own colour, so that swapped channels, mirrored rows and mirrored columns all show."""
    image = np.full((height, width, 3), 40, np.uint8)
    half_y, half_x = height // 4 * 2, width // 4 * 2
    image[:half_y, :half_x] = CORNERS["top left"]
    image[:half_y, half_x:] = CORNERS["top right"]
    image[half_y:, :half_x] = CORNERS["bottom left"]
    image[half_y:, half_x:] = CORNERS["bottom right"]
    return image


def plain_planes(image, pixel_format, origin):
    """The packed planes, in memory order of rows, by numpy alone."""
    wide = image.astype(np.int64)
    if pixel_format is PixelFormat.NV12:
        luma = (wide @ [5983, 20127, 2032] + (16 << 15) + (1 << 14)) >> 15
        sums = wide[::2, ::2] + wide[1::2, ::2] + wide[::2, 1::2] + wide[1::2, 1::2]
        chroma = sums @ np.array([[-3298, 14392], [-11094, -13072], [14392, -1320]])
        planes = [luma, (chroma + (128 << 17) + (1 << 16)) >> 17]
    elif pixel_format is PixelFormat.RGB8:
        planes = [wide]
    else:
        order = [2, 1, 0] if pixel_format is PixelFormat.BGRA8 else [0, 1, 2]
        planes = [np.concatenate([wide[..., order], np.full_like(wide[..., :1], 255)], axis=2)]
    return [plane[::-1] if origin is Origin.BOTTOM_LEFT else plane for plane in planes]


def assert_same(image, layout, packed):
    for plane, want in zip(layout.planes(packed), plain_planes(image, layout.format, layout.origin), strict=True):
        assert plane.shape == want.shape and np.array_equal(plane, want)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(PixelFormat), st.sampled_from(Origin), st.integers(1, 70), st.integers(1, 9),
    st.sampled_from([1, 4, 64, 256]), st.booleans(), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_every_size_equals_the_plain_version(pixel_format, origin, width, height, row_align, vectorised, seed):
    if pixel_format is PixelFormat.NV12:
        width, height = width * 2, height * 2
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    layout = PixelLayout(width_px=width, height_px=height, format=pixel_format, origin=origin, row_align=row_align)
    # Guard bytes on both sides and a known fill: nothing outside the pixels may change.
    guarded = np.full(layout.size_bytes + 64, 77, np.uint8)
    layout.pack_into(image, guarded[32:-32], vectorised=vectorised)
    packed = guarded[32:-32]
    assert_same(image, layout, packed)
    for plane in layout.planes(packed):
        plane[:] = 77
    assert (guarded == 77).all()


@pytest.mark.parametrize("origin", Origin)
@pytest.mark.parametrize("pixel_format", [PixelFormat.RGBA8, PixelFormat.BGRA8, PixelFormat.RGB8])
def test_corners_of_the_chart_land_where_the_receiver_looks(pixel_format, origin):
    layout = PixelLayout(width_px=20, height_px=12, format=pixel_format, origin=origin)
    (plane,) = layout.planes(layout.pack(corner_chart()))
    first, last = ("top", "bottom") if origin is Origin.TOP_LEFT else ("bottom", "top")
    for row, name in ((0, first), (-1, last)):
        for column, side in ((0, "left"), (-1, "right")):
            red, green, blue = CORNERS[f"{name} {side}"]
            want = [blue, green, red] if pixel_format is PixelFormat.BGRA8 else [red, green, blue]
            assert plane[row, column, :3].tolist() == want
            assert pixel_format is PixelFormat.RGB8 or plane[row, column, 3] == 255


@pytest.mark.parametrize("origin", Origin)
def test_nv12_has_the_published_values_of_bt709_primaries(origin):
    layout = PixelLayout(width_px=20, height_px=12, format=PixelFormat.NV12, origin=origin)
    luma, chroma = layout.planes(layout.pack(corner_chart()))
    top, bottom = (0, -1) if origin is Origin.TOP_LEFT else (-1, 0)
    assert (luma[top, 0], *chroma[top, 0]) == (63, 102, 240), "red"
    assert (luma[top, -1], *chroma[top, -1]) == (173, 42, 26), "green"
    assert (luma[bottom, 0], *chroma[bottom, 0]) == (32, 240, 118), "blue"


def test_nv12_greys_have_no_colour_and_span_the_limited_range():
    layout = PixelLayout(width_px=256, height_px=2, format=PixelFormat.NV12)
    image = np.broadcast_to(np.arange(256, dtype=np.uint8)[None, :, None], (2, 256, 3)).copy()
    luma, chroma = layout.planes(layout.pack(image))
    assert (luma[0, 0], luma[0, -1]) == (16, 235) and (chroma == 128).all()
    assert np.abs(luma[0] - (16 + np.arange(256) * 219 / 255)).max() <= 0.51


def test_nv12_stays_within_rounding_of_the_exact_matrix():
    image = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    layout = PixelLayout(width_px=64, height_px=64, format=PixelFormat.NV12)
    luma, chroma = layout.planes(layout.pack(image))
    exact = image @ np.array([0.2126, 0.7152, 0.0722])
    mean = image.astype(float).reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))
    mean_luma = mean @ np.array([0.2126, 0.7152, 0.0722])
    blue = 128 + 224 / 255 * (mean[..., 2] - mean_luma) / 1.8556
    red = 128 + 224 / 255 * (mean[..., 0] - mean_luma) / 1.5748
    assert np.abs(luma - (16 + 219 / 255 * exact)).max() <= 0.51
    assert np.abs(chroma - np.stack([blue, red], axis=2)).max() <= 0.51


def test_nv12_agrees_with_another_converter():
    """FFmpeg's scaler, on a picture of flat 2x2 squares, where siting of chroma does not matter."""
    squares = np.random.default_rng(2).integers(0, 256, (16, 24, 3), np.uint8)
    image = np.ascontiguousarray(np.kron(squares, np.ones((2, 2, 1), np.uint8)))
    theirs = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(
        format="nv12", dst_colorspace="ITU709", src_color_range="JPEG", dst_color_range="MPEG", interpolation="POINT"
    )
    theirs = theirs.to_ndarray().astype(int)
    layout = PixelLayout(width_px=48, height_px=32, format=PixelFormat.NV12)
    ours = layout.pack(image).reshape(48, 48).astype(int)
    assert np.abs(ours - theirs).max() <= 2


def test_upside_down_and_cropped_views_are_packed_as_seen():
    whole = np.random.default_rng(3).integers(0, 256, (20, 40, 3), np.uint8)
    view = whole[::-1][3:17, :]
    layout = PixelLayout(width_px=40, height_px=14)
    assert_same(view, layout, layout.pack(view))
    crop = whole[2:9, 5:36]
    layout = PixelLayout(width_px=31, height_px=7, format=PixelFormat.BGRA8)
    assert_same(crop, layout, layout.pack(crop))


@pytest.mark.parametrize(("width", "height"), [(21, 12), (20, 11)])
def test_nv12_of_odd_size_is_refused(width, height):
    with pytest.raises(ConfigError, match=r"is odd.*use an even size"):
        PixelLayout(width_px=width, height_px=height, format=PixelFormat.NV12)


@pytest.mark.parametrize(
    "sizes", [{"width_px": 0}, {"height_px": 8193}, {"row_align": 0}, {"row_align": 48}, {"row_align": 8192}]
)
def test_sizes_that_cannot_be_laid_out_are_refused(sizes):
    with pytest.raises(ConfigError, match=f"{next(iter(sizes))}="):
        PixelLayout(**({"width_px": 16, "height_px": 16} | sizes))


def test_wrong_pictures_and_buffers_are_refused():
    layout = PixelLayout(width_px=8, height_px=4)
    image, out = np.zeros((4, 8, 3), np.uint8), np.zeros(layout.size_bytes, np.uint8)
    read_only = out.copy()
    read_only.flags.writeable = False
    shared = np.zeros(200, np.uint8)
    for wrong_image, wrong_out, reason in [
        (image[:3], out, "image is"),
        (image.astype(np.int16), out, "image is"),
        (np.zeros((4, 16, 3), np.uint8)[:, ::2], out, "strides"),
        (np.broadcast_to(image[:1], image.shape), out, "strides"),
        (image, out[:-1], "out is"),
        (image, np.zeros(2 * layout.size_bytes, np.uint8)[::2], "contiguous"),
        (image, read_only, "read-only"),
        (shared[:96].reshape(4, 8, 3), shared[72:200], "share memory"),
    ]:
        with pytest.raises(ConfigError, match=reason):
            layout.pack_into(wrong_image, wrong_out)


def test_native_packing_refuses_what_would_crash():
    fits = {"rgb": 1, "rgb_stride": 24, "out": 1, "stride": 32, "width": 8, "height": 4, "format": 1, "origin": 1}
    for wrong, reason in [
        ({"format": 0}, "format"), ({"format": 5}, "format"), ({"origin": 3}, "origin"), ({"width": 0}, "positive"),
        ({"stride": 31}, "stride"), ({"rgb_stride": 23}, "rgb_stride"), ({"rgb": 0}, "null"), ({"out": 0}, "null"),
        ({"format": 4, "height": 3}, "even"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=reason):
            _native.pack_pixels(**(fits | wrong))


def test_rows_are_padded_to_the_asked_alignment():
    layout = PixelLayout(width_px=20, height_px=12, format=PixelFormat.NV12, row_align=256)
    assert (layout.stride_bytes, layout.num_rows, layout.size_bytes) == (256, 18, 256 * 18)
    assert PixelLayout(width_px=832, height_px=480).stride_bytes % 256 == 0, "the published size needs no padding"


def test_the_chart_tells_every_format_and_origin_apart():
    layouts = [
        PixelLayout(width_px=20, height_px=12, format=pixel_format, origin=origin)
        for pixel_format in PixelFormat
        for origin in Origin
    ]
    assert len({layout.pack(corner_chart()).tobytes() for layout in layouts}) == 8


def test_measured_speeds_name_every_format():
    speeds = measure(width_px=64, height_px=32, rounds=3)
    assert set(speeds) == set(PixelFormat) and min(speeds.values()) > 0
