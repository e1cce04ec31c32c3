"""The UMT5 text encoder of Wan2.1, run through ``transformers``.

Shapes: n prompts, L tokens of a prompt, ``text_len`` rows per prompt, ``dim`` channels.

The published model encodes 512 padded positions and then zeroes the rows after the prompt's end. Padding is masked
there and positions are relative, so the rows that stay do not depend on it: here each prompt runs alone at its own
length, which gives the same rows for less work, and the same ones whatever other prompts stand beside it.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import DeviceError, WeightsError
from .config import UMT5Config
from .text_types import TextEmbedding
from .weights import check_shapes, umt5_names, umt5_shapes

_REMEDY = "install the extra: pip install 'shotstream[wan]'"


def clean_prompt(text: str) -> str:
    """Prompt text as the published model was trained on: repaired Unicode, HTML entities resolved (twice, for text that
    was escaped twice), runs of white space as one space.

    Raises:
        DeviceError: the package ``ftfy`` is not installed.
    """
    try:
        import ftfy
    except ImportError as error:
        raise DeviceError(f"cleaning prompts for UMT5 needs the package ftfy; {_REMEDY}") from error
    unescaped = html.unescape(html.unescape(ftfy.fix_text(text)))
    return re.sub(r"\s+", " ", unescaped).strip()


class UMT5Reader:
    """Prompts to token ids, without any weights.

    Args:
        config: shape of the network that the ids are for.
        tokenizer: a ``tokenizers.Tokenizer``; its own truncation and padding are replaced.

    Raises:
        WeightsError: the tokenizer has more entries than the network.
    """

    def __init__(self, config: UMT5Config, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_length=config.text_len)
        if tokenizer.get_vocab_size() > config.vocab:
            raise WeightsError(
                f"the tokenizer has {tokenizer.get_vocab_size()} entries, the text encoder {config.vocab}; "
                "they are of different models, use the tokenizer that was published with the encoder"
            )

    def read(self, prompts: Sequence[str]) -> tuple[list[list[int]], TextEmbedding]:
        """Ids of each prompt, cleaned, at most ``text_len``, and a report whose ``emb`` is empty."""
        encodings = [self._tokenizer.encode(clean_prompt(prompt)) for prompt in prompts]
        report = TextEmbedding(
            emb=torch.empty(0),
            lengths=tuple(len(encoding.ids) for encoding in encodings),
            truncated=tuple(bool(encoding.overflowing) for encoding in encodings),
            unknown=tuple(() for _ in encodings),
        )
        return [list(encoding.ids) for encoding in encodings], report


class UMT5TextEncoder:
    """Prompts to rows of the UMT5 encoder (a ``TextEncoder``).

    Args:
        config: shape of the network.
        model: the ``transformers`` encoder with its weights.
        tokenizer: a ``tokenizers.Tokenizer``; its own truncation and padding are replaced. None allows token ids only.
    """

    def __init__(self, config: UMT5Config, model: Any, tokenizer: Any | None) -> None:
        self.config = config
        self.model = model
        self._reader = None if tokenizer is None else UMT5Reader(config, tokenizer)

    @classmethod
    def from_tensors(
        cls,
        config: UMT5Config,
        tensors: Mapping[str, Tensor],
        *,
        tokenizer: Path | str | None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> UMT5TextEncoder:
        """Build the encoder from tensors under their published names.

        Args:
            tokenizer: folder or ``tokenizer.json`` file; None allows token ids only.
            dtype: None keeps that of the tensors.

        Raises:
            WeightsError: names or shapes do not fit ``config``, or the tokenizer cannot be read.
            DeviceError: ``transformers`` is not installed.
        """
        check_shapes(umt5_shapes(config), tensors, "UMT5 text encoder")
        model = build_network(config)
        names = umt5_names(config.num_layers)
        state = {names[name]: value for name, value in tensors.items()}
        # Two names of one matrix in transformers; assigned apart they would be two matrices, so they are tied again.
        state["encoder.embed_tokens.weight"] = state["shared.weight"]
        model.load_state_dict(state, strict=False, assign=True)
        model.encoder.embed_tokens.weight = model.shared.weight
        if left := [name for name, value in model.named_parameters() if value.is_meta]:
            raise WeightsError(f"this version of transformers has further UMT5 parameters ({left[0]}); {_REMEDY}")
        model.eval().requires_grad_(False).to(device, dtype)
        return cls(config, model, None if tokenizer is None else read_tokenizer(tokenizer))

    def encode(self, prompts: Sequence[str]) -> TextEmbedding:
        """Clean, tokenise and encode prompts; rows after a prompt's last token are zero."""
        if self._reader is None:
            raise WeightsError("this text encoder was built without a tokenizer; give the tokenizer's folder")
        ids, report = self._reader.read(prompts)
        return TextEmbedding(
            emb=torch.stack([self.encode_ids(torch.tensor(one)) for one in ids]),
            lengths=report.lengths,
            truncated=report.truncated,
            unknown=report.unknown,
        )

    @torch.no_grad()
    def encode_ids(self, ids: Tensor) -> Tensor:
        """Token ids ``(L,)`` to rows ``(text_len, dim)``, zero from row L on."""
        device = self.model.shared.weight.device
        rows = self.model(input_ids=ids.to(device, torch.int64).unsqueeze(0)).last_hidden_state[0]
        padded = rows.new_zeros(self.config.text_len, rows.shape[1])
        padded[: len(rows)] = rows
        return padded


def build_network(config: UMT5Config) -> Any:
    """The ``transformers`` encoder of this shape, on the meta device.

    Raises:
        DeviceError: ``transformers`` is not installed.
    """
    try:
        from transformers import UMT5Config as NetworkConfig
        from transformers import UMT5EncoderModel
    except ImportError as error:
        raise DeviceError(f"the UMT5 text encoder needs the package transformers; {_REMEDY}") from error
    with torch.device("meta"):
        return UMT5EncoderModel(
            NetworkConfig(
                vocab_size=config.vocab,
                d_model=config.dim,
                d_kv=config.dim_attn // config.num_heads,
                d_ff=config.dim_ffn,
                num_layers=config.num_layers,
                num_heads=config.num_heads,
                relative_attention_num_buckets=config.num_buckets,
                relative_attention_max_distance=config.max_distance,
                dropout_rate=0.0,
                layer_norm_epsilon=config.eps,
                feed_forward_proj="gated-gelu",
                is_encoder_decoder=False,
                use_cache=False,
            )
        )


def read_tokenizer(path: Path | str) -> Any:
    """A ``tokenizers.Tokenizer`` from a ``tokenizer.json`` file or from a folder that holds one (or a
    ``spiece.model``, which is converted through ``transformers``). Never touches the network.

    Raises:
        WeightsError: nothing readable there.
    """
    from tokenizers import Tokenizer

    path = Path(path)
    file = path / "tokenizer.json" if path.is_dir() else path
    try:
        if not file.is_file() and path.is_dir() and any(path.glob("spiece.model")):
            from transformers import AutoTokenizer

            return AutoTokenizer.from_pretrained(path, local_files_only=True).backend_tokenizer
        return Tokenizer.from_file(str(file))
    except Exception as error:  # the libraries raise bare exceptions of many kinds
        raise WeightsError(
            f"{path}: no readable tokenizer ({error}); "
            "a folder with tokenizer.json is needed, copy it from google/umt5-xxl"
        ) from error
