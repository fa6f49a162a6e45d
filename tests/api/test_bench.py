"""The Python API: what the commands do, with objects in place of names and DataFrames in place of tables."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

import dsum_bench
from dsum_bench import Bench, Metric, ModelSpec, ProgressEvent, PromptSpec, Sample, UserError
from dsum_bench.api import frames
from dsum_bench.cli import COMMANDS, main

ROOT = Path(__file__).parents[2]
METHODS = {"data": "guess_dataset", "results": "compact", "plugin": "new_plugin", "export-runs": "export_runs"}
"""Commands whose method has another name."""
HEAVY = ("torch", "transformers", "pandas", "sqlite_utils", "rich", "click")

DIALOGUES = pd.DataFrame(
    {
        "id": ["d1", "d2", "d3"],
        "dialogue": [
            "#Person1#: 내일 몇 시에 만날까요?\n#Person2#: 세 시요.",
            "#Person1#: 비가 오네요.\n#Person2#: 우산을 빌려 드릴게요.",
            "#Person1#: 이 책 다 읽었어요?\n#Person2#: 아직이요.\n#Person1#: 천천히 보세요.\n#Person2#: 고마워요.",
        ],
        "summary": [
            "#Person1#과 #Person2#는 내일 세 시에 만난다.",
            "#Person2#가 우산을 빌려준다.",
            "#Person2#는 책을 아직 다 읽지 않았다.",
        ],
    }
)


class Characters(Metric):
    """Number of characters of a summary."""

    name = "characters"
    measures = ("characters",)
    needs_tokenizer = False

    @property
    def signature(self) -> str:
        return "characters"

    def score(self, summary: str, sample: Sample) -> dict[str, float]:
        return {"characters": float(len(summary))}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(results=tmp_path / "results", plugins=[Characters], progress=None)


def test_every_command_is_a_method() -> None:
    missing = [name for name in COMMANDS if not callable(getattr(Bench, METHODS.get(name, name), None))]
    assert missing == []


def test_commands_reach_stores_workers_and_trainers_through_the_bench_alone() -> None:
    forbidden = ("dsum_bench.store.writer", "dsum_bench.screening.worker", "dsum_bench.training.worker",
                 "dsum_bench.training.loop", "dsum_bench.training.trainers", "dsum_bench.executors")  # fmt: skip
    for module in (ROOT / "dsum_bench" / "cli").glob("*.py"):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not [n for n in names if n.startswith(forbidden)], module.name


def test_importing_the_package_and_opening_a_bench_loads_nothing_heavy() -> None:
    code = f"import sys, dsum_bench; dsum_bench.Bench(); print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_all_public_names_can_be_had() -> None:
    assert all(getattr(dsum_bench, name) is not None for name in dsum_bench.__all__)


def test_a_control_screens_a_dataframe_and_the_readers_give_dataframes(bench: Bench) -> None:
    result = bench.screen("lead-3", DIALOGUES, metrics=["rouge@char", "characters"], controls=False)
    assert result.counts == {"done": 1, "partial": 0, "failed": 0, "skipped": 0}

    board = bench.leaderboard("rouge@char")
    assert list(board.columns)[: len(frames.BOARD_COLUMNS)] == list(frames.BOARD_COLUMNS)
    assert board.loc[0, ["dataset", "model", "rank", "n"]].tolist() == ["dataframe", "lead-3", 1, 3]
    assert {name: str(kind) for name, kind in board.dtypes.items()}["mean"] == "float64"

    samples = bench.samples("lead-3", "characters")
    assert samples["sample_id"].tolist() == ["d1", "d2", "d3"]
    assert samples["characters"].tolist() == [len(s) for s in samples["summary"]]
    scores = bench.scores("lead-3", "rouge@char")
    assert scores["mean"].mean() == pytest.approx(board.loc[0, "mean"])
    assert bench.runs()["status"].tolist() == ["done"]
    assert list(bench.findings().columns) == list(frames.FINDING_COLUMNS)


def test_readers_without_rows_keep_their_columns_and_dtypes() -> None:
    empty = frames.frame([], frames.RUN_COLUMNS)
    assert list(empty.columns) == list(frames.RUN_COLUMNS) and empty.empty
    assert str(empty["n"].dtype) == "int64" and str(empty["finished"].dtype).endswith("UTC]")


def test_controls_of_the_language_run_with_every_screening(bench: Bench) -> None:
    ran = {run.model for run in bench.screen("lead-3", DIALOGUES, metrics=["characters"]).runs}
    assert {"lead-3", "longest-3", "constant-ko"} <= ran and "constant-en" not in ran


def test_the_board_is_the_one_that_the_command_prints(bench: Bench) -> None:
    bench.screen(["lead-3", "longest-3"], DIALOGUES, metrics=["rouge@char"], controls=False)
    printed = CliRunner().invoke(
        main, ["leaderboard", "--json", "--metric", "rouge@char", "--results", str(bench.results)]
    )
    (board,) = json.loads(printed.output)
    table = bench.leaderboard("rouge@char")
    assert [row["model"] for row in board["ranked"]] == table["model"].tolist()
    assert [row["means"]["mean"] for row in board["ranked"]] == table["mean"].tolist()
    assert [row["group"] for row in board["ranked"]] == table["group"].tolist()


def test_compare_gives_the_numbers_that_the_command_prints(bench: Bench) -> None:
    bench.screen(["lead-3", "longest-3", "constant-ko"], DIALOGUES, metrics=["rouge@char"], controls=False)
    names = ["lead-3", "longest-3", "constant-ko"]
    printed = CliRunner().invoke(
        main, ["compare", *names, "--json", "--metric", "rouge@char", "--results", str(bench.results)]
    )
    told = json.loads(printed.output)["pairs"]
    table = bench.compare(*names, metric="rouge@char")
    assert [pair["p"] for pair in told] == table["p"].tolist()
    assert [pair["difference"]["mean"] for pair in told] == table["difference"].tolist()
    assert (table["mean_a"] - table["mean_b"]).tolist() == pytest.approx(table["difference"].tolist())


def test_columns_and_references_of_a_dataframe_may_have_other_names(bench: Bench) -> None:
    renamed = DIALOGUES.rename(columns={"dialogue": "text", "summary": "first"}).assign(second="둘이 이야기한다.")
    bench.add_dataset("mine", {"test": renamed}, {"dialogue": "text", "summary": ["first", "second"]})
    bench.screen("lead-3", "mine", metrics=["characters"], controls=False)
    assert bench.runs()[["dataset", "split"]].to_numpy().tolist() == [["mine", "test"]]


def test_the_index_is_the_id_where_there_is_none(bench: Bench) -> None:
    bench.screen("lead-3", DIALOGUES.drop(columns="id"), metrics=["characters"], controls=False)
    assert bench.samples("lead-3")["sample_id"].tolist() == ["0", "1", "2"]


def test_a_missing_dialogue_is_named_by_row_and_column(bench: Bench) -> None:
    broken = DIALOGUES.assign(dialogue=["a", None, "b"])
    with pytest.raises(UserError, match=r"DataFrame 'dataframe', row 2, column 'dialogue'"):
        bench.screen("lead-3", broken)


def test_summaries_in_a_dataframe_are_scored(bench: Bench) -> None:
    mine = pd.DataFrame({"id": ["d3", "d1", "d2"], "summary": ["하나", "둘둘", "셋셋셋"]})
    (run,) = bench.score(mine, "team-a", DIALOGUES, metrics=["characters"]).runs
    assert run.status == "done"
    assert bench.scores("team-a", "characters")["characters"].to_dict() == {"d1": 2.0, "d2": 3.0, "d3": 2.0}


def test_predict_gives_the_summaries_and_writes_them(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    found = bench.predict("lead-3", file, DIALOGUES.drop(columns="summary"))
    assert found.columns.tolist() == ["id", "summary"]
    assert pd.read_csv(file)["summary"].tolist() == found["summary"].tolist()


def test_progress_goes_to_a_function(tmp_path: Path) -> None:
    seen: list[ProgressEvent] = []
    bench = Bench(results=tmp_path, plugins=[Characters], progress=seen.append)
    bench.screen("lead-3", DIALOGUES, metrics=["characters"], controls=False)
    assert [e.kind for e in seen if e.kind in ("started", "samples", "ended")] == ["started", "samples", "ended"]
    assert [(e.done, e.total) for e in seen if e.kind == "samples"] == [(3, 3)]


def test_a_silent_bench_prints_nothing(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    bench.screen("lead-3", DIALOGUES, metrics=["characters"], controls=False)
    assert capfd.readouterr() == ("", "")


def test_a_model_given_as_a_spec_needs_no_registry_file(bench: Bench) -> None:
    spec = ModelSpec("mine", "constant", params=0, engine="control", options={"text": "둘이 이야기한다."})
    bench.screen(spec, DIALOGUES, metrics=["characters"], controls=False)
    assert set(bench.samples("mine")["summary"]) == {"둘이 이야기한다."}
    assert "mine" in bench.registry.models


@pytest.mark.parametrize("settings", [{"prompt": PromptSpec("p", "{dialogue}")}, {"settings": {"max_new_tokens": 8}}])
def test_a_setting_that_a_named_model_has_no_use_for_is_refused(bench: Bench, settings: dict[str, object]) -> None:
    with pytest.raises(UserError, match="lead-3 takes no"):
        bench.screen("lead-3", DIALOGUES, **settings)  # type: ignore[arg-type]


def test_a_class_of_no_kind_is_refused() -> None:
    with pytest.raises(UserError, match="str cannot be registered"):
        _ = Bench(plugins=[str]).loaded_plugins


def test_an_option_given_twice_is_refused() -> None:
    done = CliRunner().invoke(main, ["screen", "lead-3", "--prompt", "a", "--prompt", "b"])
    assert done.exit_code == 2 and "--prompt is given 2 times" in done.output
