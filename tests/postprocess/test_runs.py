"""Postprocessed runs: beside their source, never generated, told step by step."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from scipy import stats

from dsum_bench import Bench, Postprocessor, UserError
from dsum_bench.cli import main
from dsum_bench.metrics.choose import build
from dsum_bench.spec import Sample

N = 12
REFERENCE = "#Person1#은 #Person2#에게 {}번 길을 묻는다."
BROKEN = "요약: # Person 1 #는 #Person2#에게 {}번 길을 묻는다. 그리고"
METRIC = "rouge@mecab"


def frame(summary: str = REFERENCE) -> pd.DataFrame:
    rows = [
        {
            "id": f"s{i}",
            "dialogue": f"#Person1#: {i}번 길이 어디예요?\n#Person2#: 저기요.",
            "summary": summary.format(i),
        }
        for i in range(N)
    ]
    return pd.DataFrame(rows)


def predictions() -> pd.DataFrame:
    return frame(BROKEN)[["id", "summary"]]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(results=tmp_path / "results", progress=None)
    made.add_dataset("roads", frame())
    made.score(predictions(), "broken", "roads", metrics=[METRIC])
    return made


def rows(bench: Bench, sql: str) -> list[Any]:
    with sqlite3.connect(bench.database) as db:
        return db.execute(sql).fetchall()


def test_the_result_is_a_run_beside_its_source_and_the_raw_output_stays(bench: Bench) -> None:
    before = rows(bench, "select * from outputs order by sample_id")
    (done,) = bench.postprocess("broken")
    assert done.run.status == "done" and done.run.model == "broken+tidy" and done.run.samples == N
    assert rows(bench, f"select * from outputs where run_id = '{done.source.row.run_id}' order by sample_id") == before
    made = bench.samples("broken+tidy")
    assert list(made["summary"]) == list(frame()["summary"])
    assert list(made["output"]) == [BROKEN.format(i) for i in range(N)]
    assert bench.run("broken").row.run_id == done.source.row.run_id, "the source can no longer be named"
    assert bench.run("broken+tidy").row.treatment == "file, tidy"
    assert made["mean"].mean() == pytest.approx(100, abs=1e-3)


def test_doing_it_again_adds_nothing(bench: Bench) -> None:
    first = bench.postprocess("broken")[0].run.run_id
    assert bench.postprocess(["broken"])[0].run.run_id == first
    assert len(rows(bench, "select id from runs")) == 2


def test_other_steps_are_another_run(bench: Bench) -> None:
    keys = {bench.postprocess("broken", by)[0].run.run_id for by in ("tidy", ["tags"], ["tags", "meta"])}
    assert len(keys) == 3


def test_each_step_is_measured_against_the_one_before(bench: Bench) -> None:
    (done,) = bench.postprocess("broken")
    assert [gain.step for gain in done.gains] == ["meta", "spaces", "tags", "unfinished", "repeats", "particles"]
    assert [gain.changed for gain in done.gains] == [N, 0, N, N, 0, N]
    assert bench.step_gains("broken+tidy") == done.gains
    # By hand: what the summaries are after each step, scored one by one.
    metric = build(bench.loaded_plugins, METRIC)
    samples = [Sample(r.id, r.dialogue, (r.summary,)) for r in frame().itertuples()]
    texts = (BROKEN.removeprefix("요약: "), "#Person1#는 #Person2#에게 {}번 길을 묻는다. 그리고")
    before, after = (
        [metric.score(text.format(i), sample)["mean"] for i, sample in enumerate(samples)] for text in texts
    )
    tags = done.gains[2]
    assert tags.mean == pytest.approx(sum(after) / N)
    assert tags.difference.mean == pytest.approx(sum(after) / N - sum(before) / N)
    alone = stats.ttest_rel(after, before).confidence_interval()
    assert tags.difference.low <= alone.low and alone.high <= tags.difference.high, "the interval is not corrected"
    assert done.gains[1].difference.mean == 0 and done.gains[1].p == 1


def command(bench: Bench, *arguments: str) -> str:
    done = CliRunner().invoke(main, [*arguments, "--results", str(bench.results)], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_commands_print_what_each_step_brought(bench: Bench) -> None:
    printed = command(bench, "postprocess", "broken")
    assert "broken+tidy" in printed
    (line,) = [line for line in printed.splitlines() if line.strip().startswith("unfinished")]
    assert f"{N} changed" in line and "95 % interval" in line and "p = " in line
    compared = command(bench, "compare", "broken", "broken+tidy")
    assert "step by step" in compared and line.strip() in [part.strip() for part in compared.splitlines()]
    told = json.loads(command(bench, "compare", "broken", "broken+tidy", "--json"))
    (steps,) = told["steps"].values()
    assert [step["changed"] for step in steps] == [N, 0, N, N, 0, N]


def test_runs_without_references_are_changed_and_not_scored(tmp_path: Path) -> None:
    bench = Bench(results=tmp_path / "results", progress=None)
    bench.predict("lead-3", dataset=frame().drop(columns="summary"))
    (done,) = bench.postprocess("lead-3", ["particles"])
    assert done.run.status == "done" and done.gains == ()
    assert len(bench.predict("lead-3+steps")) == N


def test_what_stands_in_the_way_is_said(bench: Bench) -> None:
    with pytest.raises(UserError, match="unknown postprocessing 'tydi'; did you mean 'tidy'"):
        bench.postprocess("broken", "tydi")
    with pytest.raises(UserError, match="unknown postprocessor 'tag'; did you mean 'tags'"):
        bench.postprocess("broken", ["tag"])
    with pytest.raises(UserError, match="was not made by postprocessing"):
        bench.step_gains("broken")
    done = CliRunner().invoke(main, ["postprocess", "broken", "--by", "tidy", "--steps", "tags"])
    assert done.exit_code == 2 and "give either --by" in done.output


def test_a_run_without_stored_dialogues_says_how_to_get_them(tmp_path: Path) -> None:
    bench = Bench(results=tmp_path / "results", progress=None)
    bench.screen("lead-3", frame(), controls=False, dialogues=False)
    with pytest.raises(UserError, match=r"keeps no dialogues of run .* screen it again with --dialogues"):
        bench.postprocess("lead-3")


class Shout(Postprocessor):
    name = "shout"

    def __call__(self, summary: str, sample: Sample) -> str:
        return summary.rstrip("!") + "!"


def test_a_step_of_ones_own_works_and_comparing_without_it_still_does(bench: Bench) -> None:
    own = Bench(results=bench.results, progress=None, plugins=[Shout])
    (done,) = own.postprocess("broken", ["shout"])
    assert own.samples(done.run.run_id)["summary"].str.endswith("!").all()
    assert "step by step" not in command(bench, "compare", "broken", "broken+steps")


def test_deleting_the_source_leaves_the_result(bench: Bench) -> None:
    bench.postprocess("broken")
    bench.delete(["broken"])
    assert len(bench.samples("broken+tidy")) == N
    with pytest.raises(UserError, match="has been deleted"):
        bench.step_gains("broken+tidy")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[postprocess.x]\nsteps = []", "key 'steps' is empty"),
        ('[postprocess.x]\nsteps = ["tags", "tags"]', "names 'tags' twice"),
        ('[postprocess.x]\nsteps = ["tgas"]', "unknown postprocessor 'tgas'; did you mean 'tags'"),
        ('[postprocess.x]\nnote = "a"', "key 'steps' is missing"),
    ],
)
def test_a_wrong_entry_is_an_error_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=rf"mine.toml, line \d, \[postprocess.x\]: .*{told}"):
        Bench(file, tmp_path / "results", progress=None).registry  # noqa: B018
