"""ROUGE of every text of a group with every other, as arrays. By the definitions of ``rouge_core``."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import chain, pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dsum_bench.metrics.rouge_core import common_words, sentences

Floats = npt.NDArray[np.float64]


def f1_pairs(texts: Sequence[Sequence[str]], profile: Literal["rouge", "rouge-score"] | str) -> Floats:
    """F1 of ROUGE-1, ROUGE-2 and ROUGE-L, shape (3, texts, texts): rows are summaries, columns references.

    texts: tokens of each. profile: whose definition it is, ``rouge`` or ``rouge-score``.
    """
    made = _by_package if profile == "rouge" else _by_rouge_score
    unique = {key: number for number, key in enumerate(dict.fromkeys(map(tuple, texts)))}
    values = made(list(unique))
    places = [unique[tuple(text)] for text in texts]
    return values[:, places][:, :, places]


def _by_package(texts: Sequence[Sequence[str]]) -> Floats:
    """As ``rouge_core.rouge_scores``."""
    cut = [sentences(text) for text in texts]
    flat = [list(chain.from_iterable(parts)) for parts in cut]
    there = np.array([bool(parts) for parts in cut])
    sizes, overlaps = [], []
    for grams in (flat, [list(pairwise(words)) for words in flat]):
        sets = _counts(grams) > 0
        sizes.append(sets.sum(axis=1, dtype=np.float64))
        overlaps.append(sets.astype(np.float64) @ sets.T.astype(np.float64))
    union = np.zeros_like(overlaps[0])
    for i, ours in enumerate(cut):
        for j, theirs in enumerate(cut):
            # A word that the two do not share is in no common subsequence.
            union[i, j] = len({w for a in theirs for b in ours for w in common_words(a, b)}) if overlaps[0][i, j] else 0
    found = []
    for overlap, size in zip((*overlaps, union), (*sizes, sizes[0]), strict=True):
        precision, recall = _shares(overlap, size)
        found.append(2.0 * ((precision * recall) / (precision + recall + 1e-8)))
    return np.where(there[:, None] & there[None, :], np.array(found), 0.0)


def _by_rouge_score(texts: Sequence[Sequence[str]]) -> Floats:
    """As ``rouge_core.rouge_score_scores``."""
    from rapidfuzz.distance import LCSseq

    sizes, overlaps = [], []
    for grams in (texts, [list(pairwise(words)) for words in texts]):
        counts = _counts(grams)
        sizes.append(counts.sum(axis=1, dtype=np.float64))
        overlaps.append(np.array([np.minimum(row, counts).sum(axis=1) for row in counts], dtype=np.float64))
    common = np.zeros_like(overlaps[0])
    for i, ours in enumerate(texts):
        for j in range(i, len(texts)):
            common[i, j] = common[j, i] = LCSseq.similarity(ours, texts[j])
    found = []
    for overlap, size in zip((*overlaps, common), (*sizes, sizes[0]), strict=True):
        precision, recall = _shares(overlap, size)
        total = precision + recall
        found.append(np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0))
    return np.array(found)


def _shares(overlap: Floats, size: Floats) -> tuple[Floats, Floats]:
    """Precision and recall: the overlap's share of the row's and of the column's items."""
    sizes = np.maximum(size, 1.0)
    return overlap / sizes[:, None], overlap / sizes[None, :]


def _counts(texts: Sequence[Sequence[Hashable]]) -> npt.NDArray[Any]:
    """How often each text has each item, shape (texts, distinct items)."""
    places = {item: place for place, item in enumerate(dict.fromkeys(chain.from_iterable(texts)))}
    counts = np.zeros((len(texts), max(1, len(places))), dtype=np.int64)
    for row, text in enumerate(texts):
        np.add.at(counts[row], [places[item] for item in text], 1)
    return counts
