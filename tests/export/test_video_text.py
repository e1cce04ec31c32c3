"""Codecs and text encoders as graphs, run by ONNX Runtime, against the eager networks."""

import pytest
import torch
from torch import nn

from shotstream.engine.graphs import GraphDecoder
from shotstream.errors import ConfigError
from shotstream.export import rtx, writer
from shotstream.export.runners import RuntimeGraph
from shotstream.export.video import decoder_graphs
from shotstream.frames import VideoSpec
from shotstream.model.config import TinyVAEConfig, UMT5Config, WanVAEConfig, WordTextConfig
from shotstream.model.text import UMT5TextEncoder
from shotstream.model.tiny_vae import TinyVAE
from shotstream.model.vae import WanVAE
from shotstream.model.weights import umt5_shapes
from shotstream.model.word_text import WordTextEncoder, build_tokenizer
from tests.micro import MICRO_WORDS, micro_codec, micro_spec

TOLERANCE = 1e-4


def wan():
    torch.manual_seed(4)
    config = WanVAEConfig(
        dim=4, dim_mult=(1, 2, 2, 2), z_dim=4, num_res_blocks=1, mean=(0.1,) * 4, std=(1.0, 2.0, 3.0, 4.0)
    )
    return WanVAE(config).eval().requires_grad_(False), VideoSpec(width_px=32, height_px=16, latent_channels=4)


def taehv():
    torch.manual_seed(5)
    config = TinyVAEConfig(latent_channels=4, widths=(8, 6, 6, 4), blocks_per_stage=1, encoder_width=8)
    return TinyVAE(config).eval().requires_grad_(False), micro_spec()


@pytest.fixture(scope="module", params=["linear", "taehv", "wan"])
def written(request, tmp_path_factory):
    """(codec, its sizes, folder of its graphs)."""
    codec, spec = {"linear": lambda: (micro_codec(), micro_spec()), "taehv": taehv, "wan": wan}[request.param]()
    folder = tmp_path_factory.mktemp(request.param)
    writer.write_decoder(codec, spec, folder)
    writer.write_encoder(codec, spec, folder)
    return codec, spec, folder


def test_decoding_two_shots_block_by_block_equals_eager(written):
    codec, spec, folder = written
    inputs = decoder_graphs(codec, spec)["decode"].inputs
    first = folder / "decode_first.onnx"
    decoder = GraphDecoder(
        RuntimeGraph(folder / "decode.onnx"),
        [value for name, value in inputs.items() if name.startswith("memory")],
        num_lat=inputs["latents"].shape[1],
        first=RuntimeGraph(first) if first.is_file() else None,
    )
    for shot in range(2):
        decoder.reset()
        eager = codec.stream()
        for block in range(3):
            generator = torch.Generator().manual_seed(10 * shot + block)
            size = (1, spec.block_lat, spec.latent_channels, spec.latent_height, spec.latent_width)
            latents = torch.randn(size, generator=generator)
            with torch.no_grad():
                want = eager.feed(latents)
            got = decoder.feed(latents)
            assert got.shape[1] == spec.frames_of_block(block)
            assert (got - want).norm() <= TOLERANCE * want.norm(), f"shot {shot}, block {block}"
            assert want.std() > 0.01


@pytest.mark.parametrize("num_frames", [1, 5])
def test_encoding_lone_frames_equals_eager(written, num_frames):
    codec, spec, folder = written
    frames = (
        torch.rand(num_frames, 3, spec.height_px, spec.width_px, generator=torch.Generator().manual_seed(1)) * 2 - 1
    )
    with torch.no_grad():
        want = codec.encode_frames(frames)
    got = RuntimeGraph(folder / "encode.onnx")({"frames": frames})[0]
    assert (got - want).norm() <= TOLERANCE * want.norm()


def test_codecs_become_engines(written):
    pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed")
    _, spec, folder = written
    sizes = tuple((num, 3, spec.height_px, spec.width_px) for num in (1, 1, spec.context_lat))
    for path in sorted(folder.glob("*.onnx")):
        assert len(rtx.build_engine(path, [{"frames": sizes}] if path.stem == "encode" else [], "SM89").plan) > 10_000


def padded(ids, length):
    valid = torch.zeros(1, length, dtype=torch.bool)
    valid[:, : len(ids)] = True
    return {"ids": torch.tensor([[*ids, *[0] * (length - len(ids))]]), "valid": valid}


def test_word_encoder_equals_eager(tmp_path):
    tokenizer = build_tokenizer(MICRO_WORDS)
    config = WordTextConfig(
        vocab=tokenizer.get_vocab_size(), dim=16, num_heads=2, num_layers=2, num_slots=3, max_words=9
    )
    torch.manual_seed(2)
    encoder = WordTextEncoder(config, tokenizer).eval().requires_grad_(False)
    graph = RuntimeGraph(writer.write_text(encoder, tmp_path))
    for prompt in ("a red fox shot2: blue bear", "snow", ""):
        ids = encoder.tokenize([prompt])[0][0].tolist()
        got = graph(padded(ids, config.max_words))[0]
        torch.testing.assert_close(got, encoder.encode([prompt]).emb, rtol=0, atol=TOLERANCE)


def test_umt5_equals_eager(tmp_path):
    config = UMT5Config(vocab=40, dim=16, dim_attn=16, dim_ffn=24, num_heads=2, num_layers=2, text_len=8)
    generator = torch.Generator().manual_seed(3)
    tensors = {name: torch.randn(shape, generator=generator) * 0.3 for name, shape in umt5_shapes(config).items()}
    encoder = UMT5TextEncoder.from_tensors(config, tensors, tokenizer=None)
    path = writer.write_text(encoder, tmp_path)
    graph = RuntimeGraph(path)
    for ids in ([3, 9, 5, 1], [7, 1], [2, 3, 4, 5, 6, 7, 8, 1]):
        got = graph(padded(ids, config.text_len))[0][0]
        torch.testing.assert_close(got, encoder.encode_ids(torch.tensor(ids)), rtol=0, atol=TOLERANCE)


class Airy(nn.Module):
    def forward(self, x):
        return torch.special.airy_ai(x)


class Whole(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Identity(), Airy()])

    def forward(self, x):
        return self.layers[1](self.layers[0](x))


class Moody(nn.Module):
    def forward(self, x):
        return x + 1 if x.sum() > 0 else x


def test_an_operator_without_counterpart_is_named_with_its_module(tmp_path):
    with pytest.raises(ConfigError, match=r"odd.onnx: .*aten.special_airy_ai.default in the module 'layers.1'"):
        writer.write_graph(Whole(), (torch.zeros(2),), ["x"], ["y"], None, tmp_path / "odd.onnx")
    assert not list(tmp_path.iterdir())


def test_a_network_whose_flow_depends_on_numbers_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="Moody cannot be traced"):
        writer.write_graph(Moody(), (torch.zeros(2),), ["x"], ["y"], None, tmp_path / "moody.onnx")
