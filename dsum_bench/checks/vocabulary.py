"""Checks of the vocabulary: tokens that were added, and rows that were never trained."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsum_bench.checks.base import Check, Setup
from dsum_bench.dialogue import TAG
from dsum_bench.spec import Finding

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

ALIKE = 0.999
"""Cosine from which two embedding rows are taken for the same: rows that transformers adds are all drawn around the
mean of the others with a tiny variance."""


class AddedTokens(Check):
    """Speaker tags were made tokens of their own, or used tokens have no trained row."""

    name = "added-tokens"
    mark = "V"
    level = "error"
    meaning = "added or untrained tokens used"

    def before(self, setup: Setup) -> Finding | None:
        tokenizer = setup.loaded.tokenizer
        if tokenizer is None:
            return None
        used = _used(setup)
        beyond = sorted(i for i in used if i >= embedding_rows(setup.loaded.config, len(tokenizer)))
        if beyond:
            return self.found(
                f"{_named(tokenizer, beyond)} are used but have no row in the model: the tokenizer is not the "
                "checkpoint's own"
            )
        added = sorted(set(tokenizer.get_added_vocab().values()) & used)
        tags = [i for i in added if TAG.fullmatch(tokenizer.convert_ids_to_tokens(i).strip())]
        untrained = _untrained(setup.loaded.folder, added)
        if untrained:
            return self.found(
                f"{_named(tokenizer, untrained)} were added to the vocabulary and never trained (their embedding rows "
                "are zero or alike): use the checkpoint's own tokenizer, which spells tags from tokens it knows"
            )
        if tags:
            return self.found(
                f"{_named(tokenizer, tags)} are tokens of their own: they mean nothing to a model that was not trained "
                "with them, and tools that skip special tokens delete them",
                level="warning",
            )
        return None


def _used(setup: Setup) -> set[int]:
    """Ids in the prompts and in the references."""
    used = {i for p in setup.prompts.values() for i in p.token_ids}
    for sample in setup.samples:
        for reference in sample.references:
            used.update(setup.loaded.tokenizer(reference, add_special_tokens=False)["input_ids"])
    return used


def embedding_rows(config: Any, default: int) -> int:
    """Rows of a checkpoint's embedding, by its configuration."""
    text = config.get("text_config") or config
    return int(text.get("vocab_size", default))


def _named(tokenizer: Any, ids: Sequence[int]) -> str:
    names = ", ".join(f"'{t}'" for t in tokenizer.convert_ids_to_tokens(list(ids[:4])))
    return f"tokens {names}{f' and {len(ids) - 4} more' if len(ids) > 4 else ''}"


def _untrained(folder: Path | None, ids: Sequence[int]) -> list[int]:
    """Those of the ids whose embedding row is zero, or the same as another's but for noise.

    Only the rows asked for are read. Nothing is said of checkpoints whose embedding cannot be found or is packed.
    """
    if folder is None or not ids:
        return []
    rows = _embedding(folder, ids)
    if rows is None:
        return []
    import numpy as np

    sizes = np.linalg.norm(rows, axis=1)
    zero = sizes == 0
    unit = rows / np.where(zero, 1.0, sizes)[:, None]
    alike = unit @ unit.T
    np.fill_diagonal(alike, 0.0)
    wrong = zero | (alike.max(axis=1) > ALIKE if len(ids) > 1 else False)
    return [i for i, bad in zip(ids, wrong, strict=True) if bad]


def _embedding(folder: Path, ids: Iterable[int]) -> npt.NDArray[np.float32] | None:
    """Rows of the input embedding, shape (ids, width)."""
    import numpy as np
    from safetensors import safe_open

    for file in _files(folder):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 (a file of tensors is not a mapping)
                if not name.endswith(("embed_tokens.weight", "shared.weight", "word_embeddings.weight", "wte.weight")):
                    continue
                part = tensors.get_slice(name)
                if len(part.get_shape()) != 2 or max(ids) >= part.get_shape()[0] or "U8" in part.get_dtype():
                    return None
                return np.stack([part[i : i + 1].float().numpy()[0] for i in ids])
    return None


def _files(folder: Path) -> list[Path]:
    """The weight files, the one with the embedding first where an index says which."""
    index = folder / "model.safetensors.index.json"
    files = sorted(folder.glob("*.safetensors"))
    if not index.is_file():
        return files
    places = json.loads(index.read_text(encoding="utf-8")).get("weight_map", {})
    first = {file for name, file in places.items() if "embed" in name or name.endswith("shared.weight")}
    return sorted(files, key=lambda f: f.name not in first)


CHECKS: tuple[type[Check], ...] = (AddedTokens,)
