"""What a checkpoint folder tells before its weights are loaded. No torch, no transformers."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Any

from dsum_bench.errors import ModelError

PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
BLOCKS = 64
BLOCK = 65536


def read_config(folder: Path) -> Mapping[str, Any]:
    """``config.json`` of a checkpoint. Raises ModelError when it is missing or not JSON."""
    file = folder / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{folder} has no config.json: is it a transformers checkpoint?") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{file} cannot be read: {error}") from None
    if not isinstance(config, dict) or "model_type" not in config:
        raise ModelError(f"{file} has no model_type: is it a transformers checkpoint?")
    return config


def has_template(folder: Path) -> bool:
    """Whether a tokenizer in this folder has a chat template."""
    if any((folder / name).is_file() for name in ("chat_template.jinja", "chat_template.json")):
        return True
    try:
        config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(config.get("chat_template"))


def has_tokenizer(folder: Path) -> bool:
    """Whether the files of a tokenizer are in this folder, its settings among them."""
    vocabulary = any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json", "vocab.txt"))
    return (folder / "tokenizer_config.json").is_file() and (vocabulary or any(folder.glob("*.model")))


def working_bytes(config: Mapping[str, Any], beams: int, tokens: int = 2048) -> int:
    """Memory for one prompt of so many tokens: its KV cache in 16 bits, and the scores of its beams, four copies of
    them in 32 bits (processors and beam search)."""
    text = config.get("text_config") or config
    heads = int(text.get("num_attention_heads") or text.get("num_heads") or 1)
    width = int(text.get("hidden_size") or text.get("d_model") or 0)
    head = int(text.get("head_dim") or width // heads)
    layers = int(text.get("num_hidden_layers") or text.get("num_layers") or 0)
    cache = 2 * 2 * layers * int(text.get("num_key_value_heads") or heads) * head * tokens
    return beams * (cache + 4 * 4 * int(text.get("vocab_size") or 0))


def end_ids(folder: Path, config: Mapping[str, Any]) -> tuple[int, ...]:
    """Ids that end an output, by ``generation_config.json`` and ``config.json``."""
    try:
        generation = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        generation = {}  # most checkpoints have one, none needs one
    text = config.get("text_config") or config
    named = (generation.get("eos_token_id"), config.get("eos_token_id"), text.get("eos_token_id"))
    return tuple(i for value in named for i in as_ids(value))


def as_ids(value: Any) -> tuple[int, ...]:
    """A token id, a list of them or none, as a tuple."""
    if value is None:
        return ()
    return tuple(int(v) for v in value) if isinstance(value, list | tuple) else (int(value),)


def weight_files(folder: Path, allow_pickle: bool) -> list[Path]:
    """The files that transformers loads the weights from, whole and in order; a ``consolidated.safetensors`` beside
    them holds the same weights for other programs.

    Raises:
        ModelError: none there, a part missing, cut off or a link to nothing, or only pickled ones without permission.
    """
    files = _safetensors(folder)
    if files:
        for file in files:
            _check_whole(file)
        return files
    pickled = sorted(f for pattern in PICKLED for f in folder.glob(pattern) if f.is_file())
    if not pickled:
        raise ModelError(f"{folder} has no weights (*.safetensors)")
    if not allow_pickle:
        raise ModelError(
            f"{folder} has only pickled weights ({pickled[0].name}), which can run code when they are loaded; "
            'convert them to safetensors, or add allow = ["pickle"] to the entry if you trust them'
        )
    _check_parts(folder, "pytorch_model.bin.index.json")
    return pickled


def _safetensors(folder: Path) -> list[Path]:
    whole = folder / "model.safetensors"
    if whole.is_file() or whole.is_symlink():
        return [whole]
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        return [folder / part for part in _check_parts(folder, index.name)]
    return sorted(f for f in folder.glob("*.safetensors") if not f.name.startswith("consolidated"))


def _check_whole(file: Path) -> None:
    """Refuse a safetensors file that a broken download or a full disk cut off."""
    if not file.is_file():
        raise ModelError(f"{file} is a link to a file that is not there; download the model again")
    header = _header(file)
    ends = (entry.get("data_offsets", (0, 0))[1] for entry in header.values())
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
    needed = 8 + length + max(ends, default=0)
    if file.stat().st_size < needed:
        raise ModelError(
            f"{file} is cut off: it has {file.stat().st_size} of {needed} bytes; download or copy it again"
        )


def _check_parts(folder: Path, index: str) -> list[str]:
    """The parts that an index names, all of them there; none where there is no index."""
    if not (folder / index).is_file():
        return []
    try:
        parts = set(json.loads((folder / index).read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise ModelError(f"{folder / index} cannot be read: {error}") from None
    missing = sorted(p for p in parts if not (folder / p).is_file())
    if missing:
        gone = (folder / missing[0]).is_symlink()
        what = f"{missing[0]} is a link to a file that is not there" if gone else f"lacks {missing[0]}"
        raise ModelError(f"{folder}{'/' if gone else ' '}{what}, one of {len(parts)} parts of the weights")
    return sorted(parts)


def count_weights(files: list[Path]) -> int | None:
    """Number of weights from safetensors headers; None where they cannot tell (pickled or packed weights)."""
    total = 0
    for file in files:
        if file.suffix != ".safetensors":
            return None
        for entry in _header(file).values():
            if entry.get("dtype") not in ("F64", "F32", "F16", "BF16", None):
                return None
            total += prod(entry.get("shape", [0]))
    return total


def _header(file: Path) -> dict[str, dict[str, Any]]:
    """The JSON header of a safetensors file: 8 bytes of length, little endian, then the text."""
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > file.stat().st_size:
                raise ValueError("its header is longer than the file")
            header = json.loads(stream.read(length))
    except (OSError, ValueError, struct.error) as error:
        raise ModelError(f"{file} is not a complete safetensors file: {error}") from None
    header.pop("__metadata__", None)
    return dict(header)


def fingerprint(files: list[Path]) -> str:
    """16 hex digits over names, sizes and evenly spaced blocks of every file and the configuration beside it.

    Reads at most 4 MiB a file, so that 16 GB of weights take a moment; training changes every weight, so
    two checkpoints do not agree on all blocks by chance.
    """
    digest = sha256()
    for file in files:
        size = file.stat().st_size
        digest.update(f"{file.name}\0{size}\0".encode())
        with file.open("rb") as stream:
            for block in range(BLOCKS):
                stream.seek(max(0, (size - BLOCK) * block // (BLOCKS - 1)))
                digest.update(stream.read(BLOCK))
    for name in (
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
    ):
        extra = files[0].parent / name
        if extra.is_file():
            digest.update(extra.read_bytes())
    return digest.hexdigest()[:16]


def check_size(spec_params: int | None, found: int | None, where: str) -> None:
    """Raise ModelError when the registry's ``params`` and the checkpoint differ by more than a tenth."""
    if spec_params and found and abs(found - spec_params) > 0.1 * spec_params:
        raise ModelError(
            f"{where} has {found / 1e9:.2f}B weights but the registry says params = {spec_params / 1e9:.2f}B; "
            "correct the entry or its source"
        )
