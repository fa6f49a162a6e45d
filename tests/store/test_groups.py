"""What can be told apart on a board in a database."""

from __future__ import annotations

import random
from pathlib import Path

from scipy import stats
from store_runs import SIGNATURE, make_run, measures, open_store, positions, scored

from dsum_bench.store.groups import significance
from dsum_bench.store.groups import values as stored_values
from dsum_bench.store.writer import ScoredOutput


def test_groups_of_runs_in_a_database(tmp_path: Path) -> None:
    noise = random.Random(7)
    n = 60
    values = {}
    with open_store(tmp_path / "dsum.db") as store:
        keys = {}
        for name, base in (("a", 50.0), ("b", 49.9), ("c", 40.0), ("d", 39.9)):
            keys[name] = store.open_run(make_run(name, n=n), "model")
            scores = [measures(base + noise.gauss(0, 3)) for _ in range(n)]
            rows = [ScoredOutput(scored(i).output, {SIGNATURE: score}) for i, score in enumerate(scores)]
            values[name] = [score["mean"] for score in scores]
            store.add(keys[name], rows, positions(n))
            store.close_run(keys[name], "done")
    runs = [keys[k] for k in "abcd"]
    scores = stored_values(tmp_path / "dsum.db", SIGNATURE, "mean", runs)
    assert scores.shape == (4, n)
    found = significance("mean", runs, scores)
    tukey = stats.tukey_hsd(*values.values()).pvalue
    assert tukey[0, 1] > 0.05 > tukey[0, 2] and tukey[2, 3] > 0.05
    assert found is not None and [found.groups[keys[k]] for k in "abcd"] == [0, 0, 1, 1]
    assert (found.measure, found.n, found.runs, found.pairs) == ("mean", n, 4, 6)
    assert significance("mean", runs[:1], scores[:1]) is None
