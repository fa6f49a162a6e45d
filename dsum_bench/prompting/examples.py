"""Worked examples chosen for each sample from the rows of a split."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from typing import Protocol

from dsum_bench.adapters.fields import DERIVED, of_data
from dsum_bench.dialogue import MASK
from dsum_bench.errors import UserError
from dsum_bench.prompting.likeness import Dialogues
from dsum_bench.spec import Example, ExampleChoice, Sample

TOKENIZERS = {"ko": "mecab", "en": "english"}
"""What words are for BM25, by language; words between white space in all others."""

Cut = Callable[[str], list[str]]


class _Search(Protocol):
    """Rows of a pool for a sample, the best first."""

    def __call__(self, sample: Sample, most: int) -> list[int]: ...


def chosen(
    choice: ExampleChoice,
    samples: Sequence[Sample],
    pool: Sequence[Sample],
    fields: Collection[str],
    cut: Cut,
    held: Sequence[Sample] | None = None,
) -> dict[str, tuple[Example, ...]]:
    """Examples for each sample by its id, the most like it last, next to the question.

    No row of the pool is shown that is one of held or a near copy of one, nor to a sample that it is a copy of.

    pool: rows with summaries. fields: names of those that an example must have. cut: a text into its words, for BM25.
    held: rows that are evaluated, all samples by default.

    Raises:
        UserError: no row of the pool is left.
    """
    copies = _copies(samples, samples if held is None else held, pool)
    rows = [
        index
        for index, row in enumerate(pool)
        if row.references and copies[index] is not None and all(n in of_data(row) for n in fields if n not in DERIVED)
    ]
    if not rows:
        raise UserError(
            f"no row of split '{choice.split}' can be an example: all are evaluated, near copies of what is, or lack a "
            "summary or a field of the prompt"
        )
    search = _by_likeness(pool, rows, cut) if choice.by == "bm25" else _by_chance(rows, choice.seed)
    made = {index: _example(pool[index], fields) for index in rows}
    found = {}
    for position, sample in enumerate(samples):
        own = {index for index in rows if position in (copies[index] or ())}
        best = [i for i in search(sample, choice.most + len(own)) if i not in own][: choice.most]
        found[sample.id] = tuple(made[i] for i in reversed(best))
    return found


@lru_cache(maxsize=4)
def remembered(
    choice: ExampleChoice,
    samples: tuple[Sample, ...],
    pool: tuple[Sample, ...],
    fields: tuple[str, ...],
    tokenizer: Callable[[], Cut],
    held: tuple[Sample, ...] | None,
) -> Mapping[str, tuple[Example, ...]]:
    """``chosen``, which takes seconds, once for all models that are asked with the same prompt."""
    return chosen(choice, samples, pool, fields, tokenizer(), held)


def _copies(samples: Sequence[Sample], held: Sequence[Sample], pool: Sequence[Sample]) -> list[frozenset[int] | None]:
    """Of each row of the pool the positions of the samples it is a copy of; None for a copy of a row that is held."""
    kept, others = Dialogues([s.dialogue for s in held]), Dialogues([s.dialogue for s in samples])
    found: list[frozenset[int] | None] = []
    for row in pool:
        own = () if held is samples else others.copied(row.dialogue)
        found.append(None if kept.copied(row.dialogue) else frozenset(own))
    return found


def _by_likeness(pool: Sequence[Sample], rows: Sequence[int], cut: Cut) -> _Search:
    import bm25s

    # Tags are in every dialogue; without them the search is for what is talked about.
    index = bm25s.BM25()
    index.index([_words(pool[i].dialogue, cut) for i in rows], show_progress=False)

    def search(sample: Sample, most: int) -> list[int]:
        words = [_words(sample.dialogue, cut)]
        found, _ = index.retrieve(words, k=min(most, len(rows)), show_progress=False)
        return [rows[int(i)] for i in found[0]]

    return search


def _words(dialogue: str, cut: Cut) -> list[str]:
    return cut(MASK.sub(" ", dialogue)) or [""]


def _by_chance(rows: Sequence[int], seed: int) -> _Search:
    def search(sample: Sample, most: int) -> list[int]:
        draw = random.Random(f"{seed}\0{sample.id}")
        return draw.sample(rows, min(most, len(rows)))

    return search


def _example(row: Sample, fields: Collection[str]) -> Example:
    there: Mapping[str, str] = of_data(row)
    told = {name: there[name] for name in fields if name not in DERIVED}
    return Example(row.dialogue, row.references[0], told, row.id)
