"""Simulation: how often a race finds the winner of the full sweep, and what it generates for that. Seeded.

    python -m benchmarks.race --data dialogsum-ko/dev.csv -o results/reference/race.md

Boards are made of real scores: ROUGE on Mecab tokens of summaries that need no model (first, last and longest turns,
constant sentences) of every dialogue of the file. A study draws its systems from them without replacement, and its
dialogues with replacement.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from benchmarks.statistics import CONSTANT, Floats, read, rouge
from dsum_bench.screening.race import ALPHA, Outcome, budget_of, race
from dsum_bench.statistics import compare

FIELDS = (2, 3, 4, 5, 6, 8, 10, 12, 20)
SAMPLES = 499
TURNS, ENDS, CONSTANTS = 6, 3, 12


def pool(rows: Sequence[tuple[str, str]], seed: int) -> Floats:
    """Mean ROUGE of each system on each dialogue, shape (systems, rows)."""
    from dsum_bench.dialogue import split_turns
    from dsum_bench.metrics.tokenizers import Mecab

    cut = Mecab()
    drawn = random.Random(seed).sample([summary for _, summary in rows], CONSTANTS - 1)
    constants = [cut(text) for text in (CONSTANT, *drawn)]
    columns = []
    for dialogue, summary in rows:
        reference, turns = cut(summary), [cut(turn) for turn in split_turns(dialogue)]
        by_length = sorted(range(len(turns)), key=lambda i: -len(turns[i]))
        texts = [
            *(turns[:k] for k in range(1, TURNS + 1)),
            *([turns[i] for i in sorted(by_length[:k])] for k in range(1, TURNS + 1)),
            *(turns[-k:] for k in range(1, ENDS + 1)),
            *([constant] for constant in constants),
        ]
        columns.append([rouge([word for turn in text for word in turn], reference) for text in texts])
    return np.array(columns).T


@dataclass(frozen=True, slots=True)
class Study:
    """What many races over one number of candidates found; all but generated are counts.

    same: the winner of the full sweep. alike: that, or one that the full sweep does not tell apart from it. wrong: the
    best was stopped as behind.
    """

    candidates: int
    studies: int
    same: int
    alike: int
    wrong: int
    generated: tuple[float, ...]


def study(scores: Floats, candidates: int, studies: int, seed: int, equal: bool = False) -> Study:
    """Race the same candidates over drawn dialogues. equal: all are as good as each other, but for their noise."""
    same = alike = wrong = 0
    generated = []
    for number in range(studies):
        generator = np.random.default_rng([seed, candidates, number])
        systems = generator.choice(len(scores), candidates, replace=False)
        board = scores[np.ix_(systems, generator.integers(0, scores.shape[1], SAMPLES))]
        if equal:
            board = board - scores[systems].mean(axis=1, keepdims=True)
        outcome = _raced(board)
        best, winner = int(board.mean(axis=1).argmax()), outcome.winner
        assert winner is not None
        generated.append(outcome.generated / board.size)
        same += winner.candidate == best
        alike += winner.candidate == best or compare(board[best], board[winner.candidate]).p >= ALPHA
        # Of equal systems each is the best; that the first is stopped as behind is then an error like any other.
        watched = 0 if equal else int(scores[systems].mean(axis=1).argmax())
        wrong += any(e.candidate == watched and e.why == "behind" for e in outcome.ended)
    return Study(candidates, studies, same, alike, wrong, tuple(generated))


def _raced(board: Floats) -> Outcome:
    return race(len(board), board.shape[1], lambda alive, n: {c: board[c, :n] for c in alive})


def ceiling(scores: Floats, candidates: int, studies: int, seed: int, budget: float) -> float:
    """How often the winner would be found by whoever knew the two best and spent the whole budget on them."""
    found = 0
    for number in range(studies):
        generator = np.random.default_rng([seed, candidates, number])
        systems = generator.choice(len(scores), candidates, replace=False)
        board = scores[np.ix_(systems, generator.integers(0, scores.shape[1], SAMPLES))]
        best, second = board.mean(axis=1).argsort()[::-1][:2]
        gap = board[best] - board[second]
        found += bool(gap[: min(SAMPLES, int(budget * candidates * SAMPLES / 2))].mean() >= 0)
    return found / studies


def page(found: Sequence[Study], equal: Sequence[Study], systems: int, options: str, most: float) -> str:
    """The figures as Markdown. most: what a budget as of many candidates would allow four of them."""
    lines = [
        "# A race against the full sweep",
        "",
        f"    python -m benchmarks.race {options}",
        "",
        f"FILE was dialogsum-ko/dev.csv. Each board draws its candidates from {systems} real systems without a",
        f"model, and {SAMPLES} dialogues with replacement. What is simulated stands in `benchmarks/race.py`. *Alike*:",
        "the winner of the full sweep, or a candidate that it does not tell apart from that. *Stopped*: the truly best",
        "candidate was stopped as behind. *Generated*: of the full sweep's samples, on the mean of the boards and at",
        "most; the budget is what no race may exceed.",
        "",
        "| candidates | boards | same winner | alike | stopped | generated: mean | most | budget |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
        *map(_line, found),
        f"| all | {sum(s.studies for s in found)} | {_share(found, 'same')} | {_share(found, 'alike')} | "
        f"{_share(found, 'wrong')} | {_mean(found)} | {_most(found)} | |",
        "",
        "Few candidates get a larger budget, since close pairs need one: even whoever knew the two",
        f"best of four beforehand and spent {100 * budget_of(100):.0f} % on these alone would find the winner in",
        f"{100 * most:.1f} % of the boards.",
        "",
        "Candidates that are all as good as each other: how often one that is named beforehand is stopped as behind.",
        "",
        "| candidates | boards | stopped | generated: mean |",
        "|---:|---:|---:|---:|",
        *(f"| {s.candidates} | {s.studies} | {_share([s], 'wrong')} | {_mean([s])} |" for s in equal),
        "",
    ]
    return "\n".join(lines)


def _line(s: Study) -> str:
    shares = " | ".join(_share([s], name) for name in ("same", "alike", "wrong"))
    budget = f"{100 * budget_of(s.candidates):.0f} %"
    return f"| {s.candidates} | {s.studies} | {shares} | {_mean([s])} | {_most([s])} | {budget} |"


def _share(studies: Sequence[Study], name: str) -> str:
    return f"{100 * sum(getattr(s, name) for s in studies) / sum(s.studies for s in studies):.1f} %"


def _mean(studies: Sequence[Study]) -> str:
    return f"{100 * float(np.mean([g for s in studies for g in s.generated])):.1f} %"


def _most(studies: Sequence[Study]) -> str:
    return f"{100 * max(g for s in studies for g in s.generated):.1f} %"


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True, help="CSV or JSON Lines file.")
@click.option("--studies", default=1000, show_default=True, help="Boards of each number of candidates.")
@click.option("--seed", default=1, show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File to write.")
def main(data: Path, studies: int, seed: int, output: Path | None) -> None:
    """Simulate races, and print or write what they found."""
    scores = pool(read(data), seed)
    found = [study(scores, candidates, studies, seed) for candidates in FIELDS]
    equal = [study(scores, candidates, studies, seed, equal=True) for candidates in FIELDS]
    most = ceiling(scores, 4, studies, seed, budget_of(100))
    text = page(found, equal, len(scores), f"--data FILE --studies {studies} --seed {seed}", most)
    if output is None:
        click.echo(text)
    else:
        output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
