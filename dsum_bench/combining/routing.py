"""A router: which run to trust with which dialogue, learnt from rows whose references it may see.

What it looks at is there before any reference: the dialogue and what the runs wrote.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import log1p

import numpy as np
import numpy.typing as npt

from dsum_bench.dialogue import MASK, SPEAKER, TAG, split_turns
from dsum_bench.fingerprints import dialogue_digest
from dsum_bench.spec import Sample

Floats = npt.NDArray[np.float64]
VERSION = 1
"""Of the features; part of a routed run's key."""
FOLDS = 10
FEWEST = 20
"""Rows to learn from; with fewer the router would learn noise."""
PENALTIES = (0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0)
_SENTENCE = re.compile(r"[.!?…]+(?:\s|$)")


def features(sample: Sample, summaries: Sequence[str], values: Sequence[Sequence[float]]) -> Floats:
    """What the router sees of one dialogue and the runs' summaries of it, shape (features,).

    values: the summaries' mutual scores.
    """
    turns = split_turns(sample.dialogue, sample.turns)
    speakers = {found.group().strip() for turn in turns if (found := SPEAKER.match(turn))}
    characters = max(1, len(sample.dialogue))
    row = [
        log1p(characters),
        log1p(len(turns)),
        len(speakers),
        characters / max(1, len(turns)) / 100,
        sample.dialogue.count("?") / max(1, len(turns)),
        sum(c.isdigit() for c in sample.dialogue) / characters,
        log1p(len(set(MASK.findall(sample.dialogue)))),
    ]
    tags = set(TAG.findall(sample.dialogue))
    for i, text in enumerate(summaries):
        others = [values[i][j] for j in range(len(summaries)) if j != i]
        row += [
            log1p(len(text)),
            len(text) / characters,
            len(tags & set(TAG.findall(text))) / max(1, len(tags)),
            len(_SENTENCE.findall(text)),
            sum(others) / len(others) if others else 0.0,
        ]
    return np.array(row)


@dataclass(frozen=True, slots=True)
class Router:
    """Ridge regressions of each run's score on the features; the run with the highest prediction is taken.

    centre, scale: of the features, shape (features,). weights: shape (features, runs). means: of the scores, (runs,).
    """

    centre: Floats
    scale: Floats
    weights: Floats
    means: Floats

    def choose(self, row: Floats) -> int:
        """The run with the highest predicted score, of equal ones the first."""
        predicted = self.means + ((row - self.centre) / self.scale) @ self.weights
        return int(np.argmax(np.round(predicted, 9)))


def learn(rows: Floats, scores: Floats) -> Router:
    """Fit a router.

    The penalty is the one of PENALTIES with the least leave-one-out error, from the hat matrix (Golub, Heath and Wahba
    1979). Where features tell nothing, it chooses the run with the best mean.

    Args:
        rows: features, shape (rows, features). scores: of each run, shape (rows, runs).

    Raises:
        ValueError: fewer than FEWEST rows.
    """
    if len(rows) < FEWEST:
        raise ValueError(f"a router needs at least {FEWEST} rows to learn from, not {len(rows)}")
    centre, means = rows.mean(axis=0), scores.mean(axis=0)
    spread = rows.std(axis=0)
    scale = np.where(spread > 1e-9, spread, 1.0)
    x, y = (rows - centre) / scale, scores - means
    left, singular, right = np.linalg.svd(x, full_matrices=False)
    inside = left.T @ y
    best: tuple[float, Floats] | None = None
    for penalty in PENALTIES:
        shrunk = singular**2 / (singular**2 + penalty)
        fitted = left @ (shrunk[:, None] * inside)
        # The mean is fitted too, hence 1 / n.
        leverage = np.clip((left**2) @ shrunk + 1 / len(x), None, 0.999)
        error = float((((y - fitted) / (1 - leverage)[:, None]) ** 2).sum())
        weights = right.T @ ((singular / (singular**2 + penalty))[:, None] * inside)
        if best is None or error < best[0]:
            best = (error, weights)
    assert best is not None
    return Router(centre, scale, best[1], means)


def cross_fitted(samples: Sequence[Sample], rows: Floats, scores: Floats, seed: int = 42) -> list[int]:
    """The run to take of each row, by routers that saw neither its references nor those of a copy of its dialogue.

    Raises:
        ValueError: too few rows to learn from.
    """
    groups = {key: i for i, key in enumerate(dict.fromkeys(dialogue_digest(s.dialogue) for s in samples))}
    fold_of = np.random.default_rng(seed).permutation(len(groups)) % FOLDS
    folds = np.array([fold_of[groups[dialogue_digest(s.dialogue)]] for s in samples])
    chosen = np.zeros(len(samples), dtype=np.intp)
    for fold in range(FOLDS):
        held = folds == fold
        if held.any():
            router = learn(rows[~held], scores[~held])
            chosen[held] = [router.choose(row) for row in rows[held]]
    return [int(i) for i in chosen]


def unseen(samples: Sequence[Sample], evaluated: Sequence[Sample]) -> list[int]:
    """Places of the samples whose dialogues are not among the evaluated ones."""
    taken = {dialogue_digest(s.dialogue) for s in evaluated}
    return [i for i, s in enumerate(samples) if dialogue_digest(s.dialogue) not in taken]
