"""What is reported of judges whose leanings are planted.

Three runs whose quality is known for each of 100 dialogues. The judge prefers the better summary with the odds
exp(difference / 2), drawn anew for each question, but with the planted chance it looks at nothing but the place, or the
length. 200 judges of each kind, which differ in what they draw, are counted as the command counts them; the first of
each kind is also asked by the real command through a server on the loopback address, which must report the
same figures.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
from collections.abc import Callable
from hashlib import sha256
from itertools import permutations
from math import exp
from pathlib import Path
from typing import Any

from judging import QUALITY, Verdict, call, honest, judging, prepare, summaries

from dsum_bench.combining.tally import Poll, Stored, tally
from dsum_bench.combining.votes import Vote

DIALOGUES = 100
JUDGES = 200
RUNS = {"good": summaries(DIALOGUES, 6), "fair": summaries(DIALOGUES, 4), "poor": summaries(DIALOGUES, 2)}
STORED = Stored({(run, f"d{i}"): len(t) for run, texts in RUNS.items() for i, t in enumerate(texts)}, {}, {})
PLANTED = (0.0, 0.05, 0.1, 0.2, 0.4)


def judge(seed: int, place: float, length: float) -> Verdict:
    """A judge that follows the place, or the length, with these chances, and else quality."""

    def verdict(qualities: list[int], texts: list[str]) -> Any:
        if len(qualities) == 1:
            return honest(qualities, texts)
        draw = random.Random(sha256(f"{seed}\0{texts}".encode()).digest())
        chance = draw.random()
        if chance < place:
            return {"better": "1"}
        if chance < place + length and len(texts[0]) != len(texts[1]):
            return {"better": "1" if len(texts[0]) > len(texts[1]) else "2"}
        odds = 1 / (1 + exp((qualities[1] - qualities[0]) / 2))
        return {"better": "1" if draw.random() < odds else "2"}

    return verdict


def counted(verdict: Verdict) -> Poll:
    """What is found of one judge, asked without a server."""
    votes = []
    for first, second in permutations(RUNS, 2):
        for i in range(DIALOGUES):
            texts = [RUNS[first][i], RUNS[second][i]]
            better = verdict([int(QUALITY.findall(t)[0]) for t in texts], texts)["better"]
            votes.append(Vote("judge:big", f"d{i}", first, second, "first" if better == "1" else "second"))
    return tally(votes, STORED).polls[0]


def check(verdict: Verdict, expected: Poll) -> None:
    """Ask the same judge by the real command, and compare."""
    assert expected.position is not None and expected.length is not None
    with tempfile.TemporaryDirectory() as name, judging(verdict) as server:
        os.chdir(name)
        prepare(Path(name), server.url, RUNS)
        done = call("judge", *RUNS, "--by", "big", "--ask", "pairs", "--json")
        assert done.exit_code == 0, done.output
        (poll,) = json.loads(done.stdout)["tally"]["polls"]
    assert poll["position"]["flipped"] == expected.position.flipped
    assert abs(poll["position"]["share"]["mean"] - expected.position.share.mean) < 1e-9
    assert abs(poll["length"]["excess"]["mean"] - expected.length.excess.mean) < 1e-9


def table(title: str, row: Callable[[list[Poll]], list[str]], heads: list[str], lean: str) -> None:
    print(f"\n## {title}\n\n| planted | {' | '.join(heads)} |\n|{'---|' * (len(heads) + 1)}")
    for chance in PLANTED:
        judges = [judge(seed, **({"place": 0.0, "length": 0.0} | {lean: chance})) for seed in range(JUDGES)]
        polls = [counted(one) for one in judges]
        check(judges[0], polls[0])
        print(f"| {100 * chance:.0f} % | {' | '.join(row(polls))} |", flush=True)


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def places(polls: list[Poll]) -> list[str]:
    found = [poll.position for poll in polls if poll.position is not None]
    share, flipped = mean([p.share.mean for p in found]), mean([100 * p.flipped / p.both for p in found])
    order = [[s.run for s in poll.ranking] == list(RUNS) for poll in polls]
    return [f"{share:.1f} %", f"{flipped:.1f} %", reported([p.found for p in found]), reported(order)]


def lengths(polls: list[Poll]) -> list[str]:
    found = [poll.length for poll in polls if poll.length is not None]
    share, expected = mean([f.share for f in found]), mean([f.expected for f in found])
    excess = mean([f.excess.mean for f in found])
    return [f"{share:.1f} %", f"{expected:.1f} %", f"{excess:+.1f}", reported([f.found for f in found])]


def reported(found: list[bool]) -> str:
    return f"{100 * mean([float(f) for f in found]):.0f} %"


def main() -> None:
    print("# What is reported of a judge with a planted bias\n")
    print("`python plugins/dsum-bench-judge/tests/measure_bias.py`\n")
    print((__doc__ or "").partition("\n\n")[2])
    heads = ["for the first", "pairs to the same place", "judges reported", "judges that rank the runs rightly"]
    table("Position", places, heads, "place")
    heads = ["for the longer", "expected of its run", "excess, points", "judges reported"]
    table("Length", lengths, heads, "length")


if __name__ == "__main__":
    main()
