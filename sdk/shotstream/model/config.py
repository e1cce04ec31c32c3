"""Shapes of the networks as values. Each is checked when it is made; unknown keys are refused by the bundle reader."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..errors import ConfigError

PHASE_PER_SHOT_RAD = 1.0 / 6.0
"""Rotary phase added to every temporal channel per shot flag (ShotStream, RoPE discontinuity)."""

MAX_SIZE = 2**20
MAX_LAYERS = 1000
"""Far beyond any published model; a description that asks for more is damaged or hostile."""


def _check_sizes(config: object, table: str, sizes: tuple[str, ...], layers: tuple[str, ...] = ()) -> None:
    """Refuse sizes and numbers of layers that no network can have.

    Raises:
        ConfigError: an attribute (or an entry of it) is below 1 or too large.
    """
    for names, most in ((sizes, MAX_SIZE), (layers, MAX_LAYERS)):
        for name in names:
            value = getattr(config, name)
            if not all(1 <= entry <= most for entry in (value if isinstance(value, tuple) else (value,))):
                raise ConfigError(f"{table}.{name}={value} must be at least 1 and at most {most}")


@dataclass(frozen=True, kw_only=True)
class DiTConfig:
    """Wan2.1 diffusion transformer. Defaults are Wan2.1-T2V-1.3B."""

    dim: int = 1536
    ffn_dim: int = 8960
    freq_dim: int = 256
    text_dim: int = 4096
    text_len: int = 512
    num_heads: int = 12
    num_layers: int = 30
    in_dim: int = 16
    out_dim: int = 16
    patch: int = 2
    eps: float = 1e-6

    def __post_init__(self) -> None:
        sizes = ("dim", "ffn_dim", "freq_dim", "text_dim", "text_len", "num_heads", "in_dim", "out_dim", "patch")
        _check_sizes(self, "dit", sizes, ("num_layers",))
        if self.dim % self.num_heads or (self.dim // self.num_heads) % 2:
            raise ConfigError(f"dit.dim={self.dim} must be an even multiple of dit.num_heads={self.num_heads}")
        if self.freq_dim % 2:
            raise ConfigError(f"dit.freq_dim={self.freq_dim} must be even")
        if self.rope_pairs[0] < 1 or self.rope_pairs[1] < 1:
            raise ConfigError(f"dit head size {self.head_dim} is too small for three rotary axes; use at least 6")

    @property
    def head_dim(self) -> int:
        return self.dim // self.num_heads

    @property
    def rope_pairs(self) -> tuple[int, int, int]:
        """Rotary pairs for time, rows and columns: rows and columns get ``head_dim // 6`` each, time the rest."""
        side = self.head_dim // 6
        return self.head_dim // 2 - 2 * side, side, side


WAN_LATENT_MEAN = (
    -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,
    0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921,
)  # fmt: skip
WAN_LATENT_STD = (
    2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
    3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class WanVAEConfig:
    """Wan 3D causal VAE. Defaults are the published one (width 96)."""

    dim: int = 96
    dim_mult: tuple[int, ...] = (1, 2, 4, 4)
    z_dim: int = 16
    num_res_blocks: int = 2
    temporal_downsample: tuple[bool, ...] = (False, True, True)
    mean: tuple[float, ...] = WAN_LATENT_MEAN
    std: tuple[float, ...] = WAN_LATENT_STD

    def __post_init__(self) -> None:
        _check_sizes(self, "vae", ("dim", "z_dim", "dim_mult"), ("num_res_blocks",))
        if len(self.temporal_downsample) != len(self.dim_mult) - 1:
            raise ConfigError("vae.temporal_downsample must have one entry less than vae.dim_mult")
        if len(self.mean) != self.z_dim or len(self.std) != self.z_dim:
            raise ConfigError(f"vae.mean and vae.std must have z_dim={self.z_dim} entries")


@dataclass(frozen=True, kw_only=True)
class TinyVAEConfig:
    """TAEHV-shaped codec; ``widths`` run from the latent to the pixels. Defaults load ``taew2_1``.

    ``encoder`` is "taehv" (convolutional, as published), "linear" (one linear map per patch of
    ``time_factor`` x 8 x 8 pixels, as in the embedded bundle; a lone frame is repeated in time first) or "none".
    ``shift`` and ``scale`` per channel turn the encoder's output into the latent that the DiT sees:
    ``(z - shift) / scale``; empty means identity.
    """

    latent_channels: int = 16
    widths: tuple[int, ...] = (256, 128, 64, 64)
    blocks_per_stage: int = 3
    encoder: str = "taehv"
    encoder_width: int = 64
    shift: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        _check_sizes(self, "vae", ("latent_channels", "widths", "encoder_width"), ("blocks_per_stage",))
        if self.encoder not in ("taehv", "linear", "none"):
            raise ConfigError(f"vae.encoder={self.encoder!r} must be 'taehv', 'linear' or 'none'")
        if len(self.widths) != 4:
            raise ConfigError(f"vae.widths has {len(self.widths)} entries; four are needed")
        for name in ("shift", "scale"):
            if len(getattr(self, name)) not in (0, self.latent_channels):
                raise ConfigError(f"vae.{name} must be empty or have latent_channels={self.latent_channels} entries")


@dataclass(frozen=True, kw_only=True)
class UMT5Config:
    """umt5-xxl encoder as used by Wan2.1. ``tokenizer`` is a file or folder name inside the bundle."""

    vocab: int = 256384
    dim: int = 4096
    dim_attn: int = 4096
    dim_ffn: int = 10240
    num_heads: int = 64
    num_layers: int = 24
    num_buckets: int = 32
    max_distance: int = 128
    text_len: int = 512
    eps: float = 1e-6

    def __post_init__(self) -> None:
        sizes = ("vocab", "dim", "dim_attn", "dim_ffn", "num_heads", "num_buckets", "max_distance", "text_len")
        _check_sizes(self, "text", sizes, ("num_layers",))
        if self.dim_attn % self.num_heads:
            raise ConfigError(f"text.dim_attn={self.dim_attn} must be a multiple of text.num_heads={self.num_heads}")


@dataclass(frozen=True, kw_only=True)
class WordTextConfig:
    """Small word-level text encoder of the embedded bundles (see ``model/word_text.py``)."""

    vocab: int
    dim: int = 96
    num_heads: int = 4
    num_layers: int = 2
    ffn_dim: int = 192
    num_slots: int = 16
    max_words: int = 96
    text_dim: int = 96

    def __post_init__(self) -> None:
        sizes = ("vocab", "dim", "num_heads", "ffn_dim", "num_slots", "max_words", "text_dim")
        _check_sizes(self, "text", sizes, ("num_layers",))

    @property
    def text_len(self) -> int:
        """Rows that the DiT sees per caption."""
        return self.num_slots


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """Timestep shift and listed denoising steps (0..1000, falling); both published values are the defaults."""

    shift: float = 8.0
    steps: tuple[int, ...] = field(default=(1000, 740, 500, 260))

    def __post_init__(self) -> None:
        if not 0 < self.shift <= 100:
            raise ConfigError(f"schedule.shift={self.shift} is outside 0..100")
        if (
            not self.steps
            or list(self.steps) != sorted(set(self.steps), reverse=True)
            or not 0 < self.steps[-1] <= self.steps[0] <= 1000
        ):
            raise ConfigError(f"schedule.steps={list(self.steps)} must fall strictly within 1..1000")
