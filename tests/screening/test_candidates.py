"""Several sampled outputs for each dialogue in one run: kept, copied, combined."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
import tiny

from dsum_bench import Bench, ModelSpec, UserError
from dsum_bench.metrics.choose import build
from dsum_bench.screening.worker import Gathered
from dsum_bench.spec import Generation, Prompt, Sample
from dsum_bench.store import reader

METRIC = "rouge@char"
SETTINGS = ["max_new_tokens=12", "temperature=1.5"]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, bart_tokenizer: Any) -> Bench:
    folder = tmp_path_factory.mktemp("candidates")
    source = tiny.bart(folder / "model", bart_tokenizer)
    made = Bench(results=folder / "results", progress=None)
    model = ModelSpec("small", "encoder_decoder", source=(str(source),), options={"wrap": True})
    for settings, limit in (([], 6), (["candidates=4"], 3), (["candidates=4"], 6)):
        done = made.screen(
            model, limit=limit, decoding="sampling", settings=[*SETTINGS, *settings], controls=False, metrics=[METRIC]
        )
        assert [run.status for run in done.runs] == ["done"], done.runs
    return made


def key(bench: Bench, candidates: int, limit: int = 6) -> str:
    (found,) = [
        r.row.run_id
        for r in reader.runs(bench.database)
        if r.row.decoding_params.get("candidates", 1) == candidates
        and r.row.n_samples == limit
        and not r.spec["derived"]
    ]
    return found


def test_the_first_is_what_one_alone_would_be_and_the_others_are_kept(bench: Bench) -> None:
    one, four = bench.samples(key(bench, 1)), bench.samples(key(bench, 4))
    assert list(one["output"]) == list(four["output"])
    drafts = reader.drafts(bench.database, key(bench, 4))
    assert set(drafts) == set(four["sample_id"]) and {len(d) for d in drafts.values()} == {3}
    texts = [draft.text for found in drafts.values() for draft in found]
    assert len(set(texts)) > 9, "the candidates are alike"
    assert not set(texts) & set(four["output"])
    assert reader.drafts(bench.database, key(bench, 1)) == {}


def test_a_larger_run_takes_the_candidates_of_a_smaller_one(bench: Bench) -> None:
    small, large = (reader.drafts(bench.database, key(bench, 4, limit)) for limit in (3, 6))
    assert small and small.items() <= large.items()


def test_consensus_within_one_run_is_what_brute_force_takes(bench: Bench) -> None:
    run = key(bench, 4)
    done = bench.combine([run], metric=METRIC)
    assert done.run.model == "small+mbr" and bench.run(done.run.run_id).row.treatment == "mbr of 4"
    metric, drafts = build(bench.loaded_plugins, METRIC), reader.drafts(bench.database, run)
    expected = []
    for row in bench.samples(run).itertuples():
        texts = [row.summary, *(d.summary for d in drafts[row.sample_id])]
        sums = [
            round(sum(metric.score(text, Sample("x", "", (other,)))["mean"] for other in texts), 9) for text in texts
        ]
        expected.append(texts[sums.index(max(sums))])
    assert list(bench.samples(done.run.run_id)["summary"]) == expected
    assert done.benefit is not None and done.benefit.means == pytest.approx([bench.scores(run)["mean"].mean()])
    assert reader.drafts(bench.database, done.run.run_id) == {}


def test_a_postprocessed_run_has_one_summary_and_no_candidates(bench: Bench) -> None:
    (done,) = bench.postprocess(key(bench, 4), ["spaces"])
    with pytest.raises(UserError, match="has one summary per sample"):
        bench.combine([done.run.run_id])


def test_candidates_go_with_their_run(bench: Bench, tmp_path: Path) -> None:
    run = key(bench, 4)
    copied = bench.export_runs([run], tmp_path)
    assert reader.drafts(copied, run) == reader.drafts(bench.database, run)
    there = Bench(results=tmp_path, progress=None)
    there.delete([run])
    with sqlite3.connect(copied) as db:
        assert db.execute("select count(*) from drafts").fetchone() == (0,)


class Told:
    """An adapter as far as reading goes."""

    def parse(self, made: Generation) -> str:
        return made.text.upper()


def test_answers_may_come_in_any_order_and_times_add_up() -> None:
    prompts = [Prompt("a", "A"), Prompt("b", "B")]
    gathered = Gathered(prompts, 3)
    names = [p.sample_id for p in gathered.prompts]
    assert names[0] == "a" and names[3] == "b" and len(set(names)) == 6
    done = []
    for number in (5, 0, 2, 1, 3, 4):
        made = Generation(names[number], f"x{number}", 1, number, "stop", 0.5)
        done.append([(o.generation.sample_id, o.summary, o.generation.seconds) for o in gathered.take(made, Told())])  # type: ignore[arg-type]
    assert done == [[], [], [], [("a", "X0", 1.5)], [], [("b", "X3", 1.5)]]
