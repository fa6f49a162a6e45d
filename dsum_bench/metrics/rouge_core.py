"""ROUGE on tokens, by the definitions of two packages. Pure functions, no recursion.

Both packages stand on Lin (2004), "ROUGE: A Package for Automatic Evaluation of Summaries", and differ in what
they count; values of one cannot be compared with values of the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

Token = TypeVar("Token", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Score:
    """Precision, recall and F1, each between 0 and 1."""

    precision: float
    recall: float
    f1: float


NOTHING = Score(0.0, 0.0, 0.0)
"""The score where there is nothing to count, in the summary or in the reference."""


@dataclass(frozen=True, slots=True)
class RougeScores:
    """ROUGE-1, ROUGE-2 and ROUGE-L of one summary against one reference."""

    rouge1: Score
    rouge2: Score
    rougeL: Score


EMPTY = RougeScores(NOTHING, NOTHING, NOTHING)


# -- profile `rouge`: package rouge 1.0.1 -------------------------------------------------------------------------


def rouge_scores(summary: Sequence[str], reference: Sequence[str]) -> RougeScores:
    """What package ``rouge`` 1.0.1 gives for the tokens joined by spaces: sets of n-grams, and the summary-level
    union of longest common subsequences over sentences cut at every full stop.

    Where the package raises (a text without tokens, or of full stops alone) everything is 0.
    """
    ours, theirs = sentences(summary), sentences(reference)
    if not ours or not theirs:
        return EMPTY
    flat_ours = [word for sentence in ours for word in sentence]
    flat_theirs = [word for sentence in theirs for word in sentence]
    return RougeScores(
        _set_overlap(set(flat_ours), set(flat_theirs)),
        _set_overlap(set(pairwise(flat_ours)), set(pairwise(flat_theirs))),
        _union_lcs(ours, theirs, len(set(flat_ours)), len(set(flat_theirs))),
    )


def sentences(tokens: Sequence[str]) -> list[list[str]]:
    """Words by sentence. A sentence of spaces alone keeps one empty word, as in the package."""
    return [piece.split() or [""] for piece in " ".join(tokens).split(".") if piece]


def _set_overlap(ours: set[Token], theirs: set[Token]) -> Score:
    return _package_score(len(ours & theirs), len(ours), len(theirs))


def _union_lcs(ours: list[list[str]], theirs: list[list[str]], n_ours: int, n_theirs: int) -> Score:
    """The package counts distinct words: those of all common subsequences of any two sentences, over the
    distinct words of each side."""
    union: set[str] = set()
    for reference in theirs:
        for sentence in ours:
            union.update(common_words(reference, sentence))
    return _package_score(len(union), n_ours, n_theirs)


def _package_score(overlap: int, ours: int, theirs: int) -> Score:
    precision = overlap / ours if ours else 0.0
    recall = overlap / theirs if theirs else 0.0
    # The package's own guard against dividing by zero; it lowers a perfect F1 to 0.999999995.
    return Score(precision, recall, 2.0 * ((precision * recall) / (precision + recall + 1e-8)))


def common_words(x: Sequence[str], y: Sequence[str]) -> list[str]:
    """A longest common subsequence of x and y; of several the one that package ``rouge`` picks.

    Bit-parallel (Crochemore et al. 2001, Hyyro 2004): row i of the usual table is one integer, whose bit j is 0
    where the length grows from column j to j + 1. The package walks back from the end, up where the value above
    is larger than the value to the left and left otherwise; where the words differ, the value above is the
    larger one exactly when that bit is 0.
    """
    places: dict[str, int] = {}
    for column, word in enumerate(y):
        places[word] = places.get(word, 0) | 1 << column
    full = (1 << len(y)) - 1
    row, rows = full, []
    for word in x:
        match = places.get(word, 0)
        row = ((row + (row & match)) | (row & ~match)) & full
        rows.append(row)
    found: list[str] = []
    i, j = len(x), len(y)
    while i and j:
        if x[i - 1] == y[j - 1]:
            found.append(x[i - 1])
            i, j = i - 1, j - 1
        elif rows[i - 1] >> (j - 1) & 1:
            j -= 1
        else:
            i -= 1
    return found[::-1]


# -- profile `rouge-score`: package rouge-score 0.1.2 -------------------------------------------------------------


def rouge_score_scores(summary: Sequence[str], reference: Sequence[str]) -> RougeScores:
    """What package ``rouge-score`` gives for the same tokens: multisets of n-grams and one plain longest common
    subsequence (its rougeL, not rougeLsum)."""
    if not summary or not reference:
        return EMPTY
    return RougeScores(
        _multiset_overlap(Counter(summary), Counter(reference)),
        _multiset_overlap(_bigrams(summary), _bigrams(reference)),
        _plain_lcs(summary, reference),
    )


def _bigrams(tokens: Sequence[str]) -> Counter[tuple[str, str]]:
    return Counter(pairwise(tokens))


def _multiset_overlap(ours: Counter[Token], theirs: Counter[Token]) -> Score:
    return _plain_score((ours & theirs).total(), ours.total(), theirs.total())


def _plain_lcs(summary: Sequence[str], reference: Sequence[str]) -> Score:
    from rapidfuzz.distance import LCSseq

    return _plain_score(int(LCSseq.similarity(summary, reference)), len(summary), len(reference))


def _plain_score(overlap: int, ours: int, theirs: int) -> Score:
    precision, recall = overlap / max(ours, 1), overlap / max(theirs, 1)
    total = precision + recall
    return Score(precision, recall, 2 * precision * recall / total if total else 0.0)
