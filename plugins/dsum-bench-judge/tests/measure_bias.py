"""What is reported of judges whose leanings are planted: the real command against a server on the loopback address.

Three runs whose quality is known for each of 100 dialogues. The judge prefers the better summary with the odds
exp(difference / 2), drawn anew for each question, but with the planted chance it looks at nothing but the place, or the
length. Ten judges of each kind, which differ in what they draw."""

from __future__ import annotations

import json
import os
import random
import tempfile
from collections.abc import Callable
from hashlib import sha256
from math import exp
from pathlib import Path
from typing import Any

from judging import Verdict, call, honest, judging, prepare, summaries

DIALOGUES = 100
JUDGES = 10
RUNS = {"good": summaries(DIALOGUES, 6), "fair": summaries(DIALOGUES, 4), "poor": summaries(DIALOGUES, 2)}
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


def measured(verdict: Verdict) -> Any:
    """What the command reports of one judge."""
    with tempfile.TemporaryDirectory() as name, judging(verdict) as server:
        os.chdir(name)
        prepare(Path(name), server.url, RUNS)
        done = call("judge", *RUNS, "--by", "big", "--ask", "pairs", "--json")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)["tally"]["polls"][0]


def table(title: str, row: Callable[[list[Any]], list[str]], heads: list[str], lean: str) -> None:
    print(f"\n## {title}\n\n| planted | {' | '.join(heads)} |\n|{'---|' * (len(heads) + 1)}")
    for chance in PLANTED:
        leanings = {"place": 0.0, "length": 0.0} | {lean: chance}
        polls = [measured(judge(seed, **leanings)) for seed in range(JUDGES)]
        print(f"| {100 * chance:.0f} % | {' | '.join(row(polls))} |", flush=True)


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def places(polls: list[Any]) -> list[str]:
    found = [poll["position"] for poll in polls]
    share = mean([p["share"]["mean"] for p in found])
    flipped = mean([100 * p["flipped"] / p["both"] for p in found])
    seen = sum(p["p"] < 0.05 for p in found)
    order = sum([s["run"] for s in poll["ranking"]] == list(RUNS) for poll in polls)
    return [f"{share:.1f} %", f"{flipped:.1f} %", f"{seen} of {JUDGES}", f"{order} of {JUDGES}"]


def lengths(polls: list[Any]) -> list[str]:
    found = [poll["length"] for poll in polls]
    share, expected = (mean([f[name] for f in found]) for name in ("share", "expected"))
    excess = mean([f["excess"]["mean"] for f in found])
    seen = sum(not f["excess"]["low"] <= 0 <= f["excess"]["high"] for f in found)
    return [f"{share:.1f} %", f"{expected:.1f} %", f"{excess:+.1f}", f"{seen} of {JUDGES}"]


def main() -> None:
    print("# What is reported of a judge with a planted bias\n")
    print("`python plugins/dsum-bench-judge/tests/measure_bias.py`\n")
    print(" ".join((__doc__ or "").split()))
    heads = ["for the first", "pairs to the same place", "reported as a bias", "right order of runs"]
    table("Position", places, heads, "place")
    heads = ["for the longer", "expected of its run", "excess, points", "reported as a bias"]
    table("Length", lengths, heads, "length")


if __name__ == "__main__":
    main()
