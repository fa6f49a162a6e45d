"""A prompt made ready for the rows of a dataset: fields that are missing, lengths that are fitted, keys of runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from commands import Dsum

from dsum_bench import Bench, ModelSpec, UserError
from dsum_bench.fingerprints import asked_digest, run_id, sample_digest
from dsum_bench.prompting.length import fitted
from dsum_bench.spec import LengthRule, Sample

DATA = (
    "id,dialogue,summary,topic,keywords,score\n"
    "1,#Person1#: 안녕하세요,인사한다.,인사,만남,3\n"
    "2,#Person1#: 잘 가요,헤어진다.,{topic},이별,4\n"
)
ENTRY = '[datasets.d]\nformat = "csv"\npath = "{split}.csv"\n'


def write(folder: Path, topic: str, more: str = "") -> None:
    (folder / "dev.csv").write_text(DATA.replace("{topic}", topic), encoding="utf-8")
    (folder / "registry.toml").write_text(
        f'{ENTRY}[prompts.by-topic]\nuser = "{{topic}}: {{dialogue}}"\n'
        f'[models.t5]\nsource = "./none"\nadapter = "encoder_decoder"\noptions = {{ prefix = "{{topik}}: " }}\n{more}',
        encoding="utf-8",
    )


@pytest.fixture
def dsum(tmp_path: Path) -> Dsum:
    return Dsum(tmp_path)


# -- fields that are missing ----------------------------------------------------------------------------------------


def test_a_missing_field_is_named_with_file_and_row(dsum: Dsum, tmp_path: Path) -> None:
    write(tmp_path, "")
    for command, code in (("screen", 2), ("check", 1), ("prompt", 2)):
        done = dsum(command, "smollm2-135m", "--dataset", "d", "--prompt", "by-topic")
        told = "".join((done.stdout + done.stderr).split())  # a long path may be broken anywhere
        assert done.returncode == code
        assert "dev.csv,row2(line3):notopic,whichprompt'by-topic'asksforwith{topic}" in told, told
        assert "{keywords},{score},{length},{speakers}" in told
    done = dsum("screen", "t5", "--dataset", "d", "--dry-run")
    assert done.returncode == 2 and "did you mean 'topic'" in " ".join(done.stderr.split())
    assert "model 't5' asks for with {topik}" in " ".join(done.stderr.split())


def test_a_row_that_training_would_read_is_named_too(dsum: Dsum, tmp_path: Path) -> None:
    write(tmp_path, "")
    done = dsum(
        "finetune", "smollm2-135m", "--dataset", "d", "--split", "dev", "--prompt", "by-topic", "--dev-limit", "0"
    )
    assert done.returncode == 2 and "dev.csv, row 2 (line 3): no topic" in " ".join(done.stderr.split())


def test_columns_have_their_own_name_or_the_entrys(tmp_path: Path) -> None:
    write(tmp_path, "작별")
    (tmp_path / "more.toml").write_text(
        ENTRY.replace("[datasets.d]", "[datasets.e]") + 'columns = { words = "keywords" }\n', encoding="utf-8"
    )
    bench = Bench(registry=[tmp_path / "registry.toml", tmp_path / "more.toml"], progress=None)
    (first, _) = bench._dialogues("d", None).selection.samples
    assert (first.topic, dict(first.fields)) == ("인사", {"keywords": "만남", "score": "3"})
    (first, _) = bench._dialogues("e", None).selection.samples
    assert dict(first.fields) == {"words": "만남", "score": "3"}
    assert first.where.endswith("dev.csv, row 1 (line 2)")


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ('columns.length = "n"', "{length} is made from the dialogue"),
        ('columns.words = "nowhere"', "no column 'nowhere'"),
        ('columns."key words" = "keywords"', "unknown key 'columns.key words'"),
    ],
)
def test_a_wrong_name_of_a_field_is_refused(columns: str, told: str, dsum: Dsum, tmp_path: Path) -> None:
    write(tmp_path, "작별", f'[datasets.f]\nformat = "csv"\npath = "{{split}}.csv"\n{columns}\n')
    done = dsum("screen", "lead-3", "--dataset", "f")
    assert done.returncode == 2 and told in " ".join(done.stderr.split()), done.stderr


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (["가", "나"], "가, 나"),
        (3, "3"),
        (1.5, "1.5"),
        (" 가\r\n나 ", "가\n나"),
        (None, None),
        ({"a": 1}, None),
        ([], None),
    ],
)
def test_lists_and_numbers_become_strings(value: Any, shown: str | None) -> None:
    frame = pd.DataFrame({"id": ["1"], "dialogue": ["A: 네"], "summary": ["끝"], "extra": [value]}, dtype=object)
    bench = Bench(progress=None)
    (sample,) = bench._dialogues(frame, None).selection.samples
    assert sample.fields.get("extra") == shown


# -- lengths --------------------------------------------------------------------------------------------------------


def test_a_fitted_length_is_the_line_of_least_squares() -> None:
    draw = np.random.default_rng(3)
    lengths = draw.integers(50, 900, 60)
    wanted = [int(20 + 0.13 * n + draw.normal(0, 8)) for n in lengths]
    samples = [
        Sample(str(i), "가" * int(n), ("나" * w, "다" * (w + 2)))
        for i, (n, w) in enumerate(zip(lengths, wanted, strict=True))
    ]
    rule = fitted(LengthRule(step=1, fit="train"), samples)
    slope, base = np.polyfit(lengths, [w + 1 for w in wanted], 1)
    assert (rule.share, rule.base) == (round(float(slope), 4), round(float(base), 1))
    assert rule.least == sorted(wanted)[3] + 1 and rule.most == sorted(wanted)[56] + 1


def test_too_few_summaries_and_equal_dialogues() -> None:
    alike = [Sample(str(i), "가" * 100, ("나" * (i + 1),)) for i in range(12)]
    assert fitted(LengthRule(fit="train"), alike).share == 0.0
    with pytest.raises(UserError, match="9 samples of split 'train' have summaries"):
        fitted(LengthRule(fit="train"), alike[:9])


def test_the_fit_is_that_of_the_data_and_part_of_the_key(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(
        '[prompts.fit]\nuser = "{length}자: {dialogue}"\nlength = { fit = "train" }\n'
        '[prompts.usual]\nuser = "{length}자: {dialogue}"\n'
        '[prompts.none]\nuser = "{dialogue}"\nlength = { share = 0.3 }\n',
        encoding="utf-8",
    )
    bench = Bench(registry=tmp_path / "r.toml", progress=None)
    runs = {}
    for name in ("fit", "usual"):
        (candidate,) = bench.plan("smollm2-135m", "samples-ko", prompt=name, limit=4, controls=False)
        runs[name] = candidate.run
    fit = runs["fit"].prompt
    assert fit is not None and fit.length is not None and fit.length.fit == "train" and fit.length.share != 0.2
    usual = runs["usual"].prompt
    assert usual is not None and usual.length == LengthRule()
    assert run_id(runs["fit"]) != run_id(runs["usual"])
    with pytest.raises(UserError, match=r"has a table 'length', and no \{length\}"):
        bench.plan("smollm2-135m", "samples-ko", prompt="none", controls=False)


def test_an_example_needs_the_fields_that_the_prompt_asks_for(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(
        '[prompts.shot]\nuser = "{words}: {dialogue}"\n'
        '[[prompts.shot.examples]]\ndialogue = "A: 네"\nsummary = "끝"\nfields = { topic = "x" }\n',
        encoding="utf-8",
    )
    bench = Bench(registry=tmp_path / "r.toml", progress=None)
    rows = pd.DataFrame({"id": ["1"], "dialogue": ["A: 네"], "summary": ["끝"], "words": ["말"]})
    with pytest.raises(UserError, match="example 1 has no words"):
        bench.plan("smollm2-135m", rows, prompt="shot", controls=False)


# -- keys -----------------------------------------------------------------------------------------------------------


def test_a_changed_field_is_another_run_and_one_that_no_prompt_holds_is_not() -> None:
    bench = Bench(progress=None)
    rows = pd.DataFrame(
        {
            "id": ["1", "2"],
            "dialogue": ["A: 네", "B: 응"],
            "summary": ["끝"] * 2,
            "topic": ["가", "나"],
            "other": ["x", "y"],
        }
    )

    def key(frame: pd.DataFrame, prompt: str) -> str:
        (candidate,) = bench.plan("smollm2-135m", frame, prompt=prompt, controls=False)
        return run_id(candidate.run)

    asks, asks_not = "{topic}: {dialogue}", "{dialogue}"
    assert key(rows, asks) == key(rows.iloc[::-1], asks) == key(rows.assign(other="z"), asks)
    assert key(rows, asks) != key(rows.assign(topic="다"), asks)
    assert key(rows, asks_not) == key(rows.assign(topic="다"), asks_not)


def test_digests_hold_the_fields_that_are_asked_for_and_no_others() -> None:
    one = Sample("1", "A: 네", topic="가", fields={"a": "1", "b": "2"})
    assert asked_digest([one], ()) == "" and asked_digest([one], ("a",)) != ""
    assert sample_digest(one, ("a",)) == sample_digest(replace(one, fields={"a": "1"}), ("a",))
    assert sample_digest(one, ("a",)) != sample_digest(replace(one, fields={"a": "2"}), ("a",))
    assert sample_digest(one, ("topic",)) != sample_digest(replace(one, topic="나"), ("topic",))
    assert ModelSpec("m", "chat") == ModelSpec("m", "chat")
