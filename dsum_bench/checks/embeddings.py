"""Rows of a checkpoint's input embedding, read without loading the model, and whether they were ever trained."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Rows = npt.NDArray[np.float32]

NAMES = ("embed_tokens.weight", "shared.weight", "word_embeddings.weight", "wte.weight", "embed_in.weight")
"""How the embedding is called in Llama, Qwen, Gemma, OPT, BART; T5 and BART; BLOOM and BERT; GPT-2; GPT-NeoX."""
ALIKE = 0.999
"""Cosine from which two embedding rows are taken for the same: rows that transformers adds are all drawn around the
mean of the others with a tiny variance."""
SAMPLE = 512
NEAR = 3.0
FAR = 8.0


@dataclass(frozen=True, slots=True)
class Embedding:
    """An input embedding in a file. table: whatever can be cut into rows; height: how many there are."""

    table: Any
    height: int

    def rows(self, ids: Sequence[int]) -> Rows:
        """Rows of the ids, each of which must be below height; shape (ids, width)."""
        import numpy as np

        return np.stack([self.table[i : i + 1].float().numpy()[0] for i in ids])


def embedding(folder: Path | None, allow_pickle: bool) -> Embedding | None:
    """The input embedding of a checkpoint; None where it is not found, or is packed.

    allow_pickle: whether pickled weights may be read; only tensors are, no code is run.
    """
    if folder is None:
        return None
    in_safetensors = _in_safetensors(folder)
    return in_safetensors or (_in_pickles(folder) if allow_pickle and not any(folder.glob("*.safetensors")) else None)


def alike(found: Embedding, ids: Sequence[int]) -> list[int]:
    """Those of the ids whose row is zero, or the same as another's but for noise."""
    import numpy as np

    ids = [i for i in ids if i < found.height]
    if not ids:
        return []
    rows = found.rows(ids)
    sizes = np.linalg.norm(rows, axis=1)
    unit = _unit(rows)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, 0.0)
    wrong = (sizes == 0) | (cosines.max(axis=1) > ALIKE if len(ids) > 1 else False)
    return [i for i, bad in zip(ids, wrong, strict=True) if bad]


def random_rows(found: Embedding, ids: Sequence[int]) -> list[int]:
    """Those of the ids whose row points nowhere, as one does that was drawn at random and never trained.

    Trained rows share a direction (Gao et al. 2019, "Representation Degeneration"): in SmolLM2-135M 95 % have a cosine
    above 0.45 with their mean. A random row of width w has one of about 1 / sqrt(w). Nothing is said where the
    other rows do not point clearly away from that.
    """
    import numpy as np

    ids = [i for i in ids if i < found.height]
    if not ids or min(ids) < SAMPLE:
        return []
    others = found.rows([int(i) for i in np.linspace(0, min(ids) - 1, SAMPLE)])
    centre = _unit(others.mean(axis=0, keepdims=True))[0]
    width = np.sqrt(others.shape[1])
    if np.quantile(_unit(others) @ centre, 0.05) < FAR / width:
        return []
    aside = np.abs(_unit(found.rows(ids)) @ centre) < NEAR / width
    return [i for i, bad in zip(ids, aside, strict=True) if bad]


def _unit(rows: Rows) -> Rows:
    import numpy as np

    sizes = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Rows = (rows / np.where(sizes == 0, 1.0, sizes)).astype(np.float32)
    return unit


def _in_safetensors(folder: Path) -> Embedding | None:
    from safetensors import safe_open

    for file in _files(folder, "*.safetensors", "model.safetensors.index.json"):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 (a file of tensors is no mapping)
                part = tensors.get_slice(name) if name.endswith(NAMES) else None
                if part is not None and len(part.get_shape()) == 2:
                    return None if "U8" in part.get_dtype() else Embedding(part, part.get_shape()[0])
    return None


def _in_pickles(folder: Path) -> Embedding | None:
    import torch

    for file in _files(folder, "*.bin", "pytorch_model.bin.index.json"):
        try:
            tensors = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        except (RuntimeError, ValueError):  # a file of the old format cannot be mapped
            tensors = torch.load(file, map_location="cpu", weights_only=True)
        for name, tensor in tensors.items():
            if name.endswith(NAMES) and tensor.dim() == 2 and tensor.is_floating_point():
                return Embedding(tensor, tensor.shape[0])
    return None


def _files(folder: Path, pattern: str, index: str) -> list[Path]:
    """The weight files, the one with the embedding first where an index says which."""
    files = sorted(folder.glob(pattern))
    if not (folder / index).is_file():
        return files
    places = json.loads((folder / index).read_text(encoding="utf-8")).get("weight_map", {})
    first = {file for name, file in places.items() if name.endswith(NAMES)}
    return sorted(files, key=lambda f: f.name not in first)
