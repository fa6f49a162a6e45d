"""Checks of the vocabulary: tokens that were added, and rows that were never trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dsum_bench.checks.base import Check, Setup
from dsum_bench.checks.embeddings import alike, embedding, random_rows
from dsum_bench.dialogue import TAG
from dsum_bench.spec import Finding


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
        rows = embedding(setup.loaded.folder, "pickle" in setup.run.model.allow) if added else None
        untrained = sorted({*alike(rows, added), *random_rows(rows, tags)}) if rows else []
        if untrained:
            return self.found(
                f"{_named(tokenizer, untrained)} were added to the vocabulary and never trained (their embedding rows "
                "are zero, alike or random): use the checkpoint's own tokenizer, which spells tags from tokens it knows"
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


CHECKS: tuple[type[Check], ...] = (AddedTokens,)
