"""``score`` and ``doctor``: summaries from files, and whether stored scores stand up."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from pathlib import Path

import pytest
from commands import Dsum
from rouge import Rouge as PackageRouge

from dsum_bench.errors import UserError
from dsum_bench.plugins import Plugins
from dsum_bench.screening import predictions
from dsum_bench.spec import PluginSettings, Sample
from dsum_bench.store.scores import packed, unpacked


@pytest.fixture(scope="module")
def samples() -> tuple[Sample, ...]:
    from dsum_bench.datasets.load import load as load_samples
    from dsum_bench.registry.load import load

    plugins = Plugins(PluginSettings(()))
    return load_samples(load(plugins=plugins, working_directory=Path("/")).dataset("samples-ko"), plugins, "dev")


PLUGINS = Plugins(PluginSettings(()))


def submission(samples: tuple[Sample, ...], file: Path, encoding: str = "utf-8") -> Path:
    """A file as competitors hand it in: an index without a name, fname, summary, in another order."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\r\n")
    rows.writerow(["", "fname", "summary"])
    rows.writerows([i, s.id, s.references[-1]] for i, s in reversed(list(enumerate(samples))))
    file.write_bytes(text.getvalue().encode(encoding))
    return file


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949"])
def test_a_submission_file_is_scored_and_ranked(
    dsum: Dsum, tmp_path: Path, samples: tuple[Sample, ...], encoding: str
) -> None:
    submission(samples, tmp_path / "mine.csv", encoding)
    done = dsum("score", "mine.csv", "--metric", "rouge@whitespace")
    assert done.returncode == 0, done.stderr
    assert "40 summaries scored as mine" in done.stdout
    (board,) = json.loads(dsum("leaderboard", "--metric", "rouge@whitespace", "--json").stdout)
    (row,) = board["ranked"]
    assert (row["model"], row["treatment"], row["n"]) == ("mine", "file", 40)
    # The package on its own: every reference alone, then the mean over references and samples.
    package, total = PackageRouge(), 0.0
    for sample in samples:
        found = [package.get_scores(sample.references[-1], r)[0]["rouge-1"]["f"] for r in sample.references]
        total += sum(found) / len(found)
    assert row["means"]["rouge1"] == pytest.approx(100 * total / len(samples), abs=1e-9)


def test_the_same_file_twice_is_one_run_and_a_changed_one_another(
    dsum: Dsum, tmp_path: Path, samples: tuple[Sample, ...]
) -> None:
    file = tmp_path / "mine.jsonl"
    rows = [{"id": s.id, "prediction": s.references[0]} for s in samples]
    for change in ("", "", "!"):
        rows[0]["prediction"] += change
        file.write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in rows), encoding="utf-8")
        assert dsum("score", "mine.jsonl", "--metric", "rouge@char").returncode == 0
    with sqlite3.connect(tmp_path / "results" / "dsum.db") as db:
        assert db.execute("select count(*) from runs").fetchone() == (2,)


def test_empty_summaries_score_nothing_and_are_counted(dsum: Dsum, tmp_path: Path, samples: tuple[Sample, ...]) -> None:
    rows = [{"id": s.id, "summary": ("", None, " . ", "네")[i % 4]} for i, s in enumerate(samples)]
    (tmp_path / "e.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    done = dsum("score", "e.jsonl", "--metric", "rouge@mecab")
    assert done.returncode == 0
    told = " ".join(done.stdout.split())
    assert "error [empty] 30 of 40 samples (75 %) have no summary (20 empty, 10 only punctuation)" in told


@pytest.mark.parametrize(
    ("rows", "more", "told"),
    [
        ([{"id": "dev_0", "summary": "x"}], (), "no summary for 39 of 40 samples: dev_1, dev_2"),
        ([{"id": "nope", "summary": "x"}], (), "'nope' (bad.jsonl, row 1 (line 1))"),
        ([{"id": "dev_0", "summary": "x"}] * 2, (), "duplicate id 'dev_0', first seen in"),
        ([{"key": "dev_0", "summary": "x"}], (), "none of the columns id, fname, only 'key', 'summary'"),
        ([{"id": "dev_0", "summary": ["x"]}], (), "column 'summary': must be a string"),
        ([{"id": "dev_0", "text": "x"}], ("--summary-column", "txet"), "no column 'txet'; did you mean 'text'?"),
        ([{"id": "dev_0", "summary": "x"}], ("--name", "lead-3"), "is a model of the registry"),
        ([], (), "bad.jsonl has no rows"),
    ],
)
def test_a_bad_file_is_a_sentence(
    dsum: Dsum, tmp_path: Path, rows: list[dict[str, object]], more: tuple[str, ...], told: str
) -> None:
    (tmp_path / "bad.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    allow = () if "no summary for" in told else ("--allow-missing",)
    done = dsum("score", "bad.jsonl", *allow, *more)
    assert (done.returncode, told in " ".join(done.stderr.split())) == (2, True), done.stderr
    assert not (tmp_path / "results" / "dsum.db").exists()


def test_a_file_that_is_not_there_or_of_no_known_kind(dsum: Dsum, tmp_path: Path) -> None:
    assert "no such file: gone.csv" in dsum("score", "gone.csv").stderr
    assert "must end in .csv" in dsum("score", "gone.xlsx").stderr


def test_half_a_character_is_stored_as_what_a_file_can_hold(dsum: Dsum, tmp_path: Path) -> None:
    (tmp_path / "half.jsonl").write_text('{"id": "dev_0", "summary": "네 \\ud800"}', encoding="utf-8")
    done = dsum("score", "half.jsonl", "--allow-missing", "--metric", "rouge@mecab", "--metric", "text")
    assert done.returncode == 0, done.stderr
    with sqlite3.connect(tmp_path / "results" / "dsum.db") as db:
        assert db.execute("select summary from outputs where sample_id = 'dev_0'").fetchone() == ("네 \ufffd",)


def test_missing_ones_may_count_as_empty(dsum: Dsum, tmp_path: Path, samples: tuple[Sample, ...]) -> None:
    (tmp_path / "few.jsonl").write_text(json.dumps({"id": "dev_0", "summary": "네"}), encoding="utf-8")
    done = dsum("score", "few.jsonl", "--allow-missing", "--metric", "rouge@char")
    assert done.returncode == 0 and "39 samples have no summary" in done.stderr


PLAIN = "간단히 이야기합니다."


def read(file: Path, rows: list[dict[str, str]], samples: tuple[Sample, ...], **options: str) -> dict[str, str]:
    """Summaries by id, from rows written as the ending of the file says; or the sentence that refuses them."""
    if file.suffix == ".json":
        file.write_text(json.dumps(rows, ensure_ascii=False), encoding=options.pop("encoding", "utf-8"))
    else:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        file.write_text(text.getvalue(), encoding=options.pop("encoding", "utf-8"))
    return dict(predictions.read(file, samples, **options).summaries)  # type: ignore[arg-type]


def test_of_several_columns_that_may_be_the_summary_none_is_taken(tmp_path: Path, samples: tuple[Sample, ...]) -> None:
    """Result files of this field hold the reference beside what a model wrote."""
    rows = [{"fname": s.id, "summary": s.references[0], "pred": PLAIN, "pred_len": "3"} for s in samples]
    with pytest.raises(UserError, match=r"may be in 'summary' or 'pred', .* choose one with --summary-column"):
        read(tmp_path / "dev.csv", rows, samples)
    assert set(read(tmp_path / "dev.csv", rows, samples, summary_column="pred").values()) == {PLAIN}
    for name in ("pred", "model_output", "generated_summary", "요약"):
        other = [{"fname": s.id, "dialogue": s.dialogue, "target": "네", name: PLAIN} for s in samples]
        assert set(read(tmp_path / "dev.csv", other, samples).values()) == {PLAIN}


@pytest.mark.parametrize("name", ["p.csv", "p.json"])
def test_files_of_summaries_are_read_as_data_is(tmp_path: Path, samples: tuple[Sample, ...], name: str) -> None:
    rows = [{"id": s.id, "prediction": s.references[0]} for s in samples]
    wanted = {s.id: s.references[0] for s in samples}
    assert read(tmp_path / name, rows, samples) == wanted
    assert read(tmp_path / name, rows, samples, encoding="utf-16") == wanted


def test_a_file_of_summaries_in_no_known_encoding_is_refused_with_advice_that_can_be_followed(
    tmp_path: Path, samples: tuple[Sample, ...]
) -> None:
    file = tmp_path / "p.csv"
    file.write_bytes(b"id,summary\ndev_0," + b"\xff\xff\xff\n")
    with pytest.raises(UserError, match="neither UTF-8 nor CP949; save the file as UTF-8"):
        predictions.read(file, samples)


# -- doctor ---------------------------------------------------------------------------------------------------


def test_doctor_reports_this_machine(dsum: Dsum, tmp_path: Path) -> None:
    done = dsum("doctor", "--json")
    assert done.returncode == 0, done.stdout
    found = {a["about"]: a for a in json.loads(done.stdout)}
    assert found["torch"]["verdict"] == "ok"
    assert found["hub"]["text"].startswith("hub access is switched off")
    assert "mecab-python3" in found["tokens mecab"]["text"]
    assert max(len(line) for line in dsum("doctor").stdout.splitlines()) <= 80


def test_a_plugin_that_is_broken_is_named(dsum: Dsum, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("import nothing_of_that_name\n", encoding="utf-8")
    done = dsum("doctor", "--plugin", "bad.py", "--json")
    assert done.returncode == 1
    assert any(a["verdict"] == "broken" and "nothing_of_that_name" in a["text"] for a in json.loads(done.stdout))


def test_stored_scores_agree_with_the_packages_and_changed_ones_do_not(dsum: Dsum, tmp_path: Path) -> None:
    metrics = ("--metric", "rouge@mecab", "--metric", "rouge-score@char", "--metric", "text")
    assert dsum("screen", "--no-controls", "constant-ko", "lead-3", *metrics).returncode == 0
    done = dsum("doctor", "--verify-metrics", "--json")
    assert done.returncode == 0, done.stdout
    found = json.loads(done.stdout)
    assert {a["about"] for a in found} == {
        f"{m} {k}" for m in ("constant-ko", "lead-3") for k in ("rouge@mecab", "rouge-score@char")
    }
    assert all(a["text"] == "40 samples agree with the package" for a in found)
    with sqlite3.connect(tmp_path / "results" / "dsum.db") as db:
        sql = "select part_id, signature_id, measure, data, samples from score_columns join score_parts on id = part_id"
        for *place, data, samples in db.execute(f"{sql} where measure = 'rouge2'").fetchall():
            values = unpacked(data)
            values[json.loads(samples).index("dev_3")] += 0.01
            where = "part_id = ? and signature_id = ? and measure = ?"
            db.execute(f"update score_columns set data = ? where {where}", [packed(values), *place])
    done = dsum("doctor", "--verify-metrics", "--json")
    assert done.returncode == 1
    assert all("39 samples agree with the package, 1 differ" in a["text"] for a in json.loads(done.stdout))


def test_an_output_of_a_megabyte_is_scored_in_part_and_not_given_to_the_packages(dsum: Dsum, tmp_path: Path) -> None:
    """The package `rouge` took 19 GB for it, and was killed."""
    rows = [{"id": "dev_0", "summary": "가" * 1_000_000}, {"id": "dev_1", "summary": "김도현은 발목을 다쳤습니다."}]
    (tmp_path / "long.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    metrics = [f"--metric={m}" for m in ("rouge@mecab", "rouge@char", "rouge-score@char", "text", "facts")]
    done = dsum("score", "long.jsonl", "--allow-missing", *metrics)
    assert done.returncode == 0, done.stderr
    with sqlite3.connect(tmp_path / "results" / "dsum.db") as db:
        ((found,),) = db.execute("select text from findings where code = 'overlong'").fetchall()
    assert "900,000 characters were left out" in found and "'dev_0'" in found
    done = dsum("doctor", "--verify-metrics", "--json")
    assert done.returncode == 0, done.stdout
    for answer in json.loads(done.stdout):
        assert "1 are too long for it (over 1,000,000 pairs of tokens)" in answer["text"], answer
        assert "differ" not in answer["text"]


def test_a_split_without_references_is_scored_by_what_needs_none(tmp_path: Path, samples: tuple[Sample, ...]) -> None:
    import pandas as pd

    from dsum_bench import Bench

    ids, dialogues = [s.id for s in samples], [s.dialogue for s in samples]
    written = pd.DataFrame({"id": ids, "summary": [s.references[0] for s in samples]})
    bench = Bench(results=tmp_path, progress=None)
    data = pd.DataFrame({"id": ids, "dialogue": dialogues})
    for metrics in (None, ["facts", "rouge@char"], ["text"]):
        with pytest.raises(UserError, match=r"or `score` with a metric that needs none \(--metric facts\)"):
            bench.score(written, "ours", data, metrics=metrics)
    result = bench.score(written, "ours", data, metrics=["facts"])
    assert result.runs[0].status == "done" and not result.broken_metrics
    ours = bench.scores(result.runs[0].run_id, "facts")
    whole = pd.DataFrame({"id": ids, "dialogue": dialogues, "summary": [s.references[1] for s in samples]})
    other = bench.score(written, "with-references", whole, metrics=["facts"])
    assert bench.scores(other.runs[0].run_id, "facts").equals(ours)
