"""Parts of plugins that do not keep their promises: what they cost, and what is said of them.

Everything goes through the command line in processes of its own, as a user's sweep does.
"""

from __future__ import annotations

import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest
from commands import Dsum

LIMIT = 5


def screen(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = Dsum(folder)("screen", "--no-controls", *arguments, "--limit", str(LIMIT), "--metric", "rouge@char")
    assert "Traceback" not in done.stdout + done.stderr
    return done


def rows(folder: Path, sql: str) -> list[Any]:
    with sqlite3.connect(folder / "results" / "dsum.db") as db:
        return db.execute(sql).fetchall()


# -- engines and adapters -----------------------------------------------------------------------------------------

ENGINE = """
from dataclasses import replace

import dsum_bench
from dsum_bench.adapters.controls import LeadAdapter
from dsum_bench.engines.control import ControlEngine

class Own(dsum_bench.Generation):
    pass

class Odd(ControlEngine):
    name = "odd"

    def generate(self, prompts, adapter, decoding, tell):
        for batch in super().generate(prompts, adapter, decoding, tell):
            first, second, third, *others = batch
            yield [first, second]
            {fault}
            yield [third, *others]

class OddReader(LeadAdapter):
    name = "odd-reader"

    def parse(self, made):
        if made.sample_id == "dev_2":
            {reading}
        return made.text

@dsum_bench.hookimpl
def dsum_register_engines(register):
    register(Odd)

@dsum_bench.hookimpl
def dsum_register_adapters(register):
    register(OddReader)
"""


def odd(folder: Path, fault: str = "pass", reading: str = "pass") -> None:
    (folder / "odd.py").write_text(ENGINE.format(fault=fault, reading=reading), encoding="utf-8")
    (folder / "registry.toml").write_text(
        'plugins = ["odd.py"]\n[models.odd]\nadapter = "odd-reader"\nengine = "odd"\n', encoding="utf-8"
    )


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("yield [first]", "an invalid result for sample 'dev_0': it was not asked for, or is there already"),
        ("others.pop(); third = replace(third, sample_id='dev_1')", "an invalid result for sample 'dev_1'"),
        ("third = replace(third, sample_id='nobody')", "an invalid result for sample 'nobody'"),
        ("third = replace(third, text=None)", "NoneType instead of a string"),
        ("third = replace(third, seconds=float('nan'))", "nan seconds"),
        ("third = replace(third, finish='eos')", "finish 'eos' instead of stop or length"),
    ],
)
def test_an_engine_with_an_invalid_result_fails_its_model_only(tmp_path: Path, fault: str, told: str) -> None:
    odd(tmp_path, fault=fault)
    done = screen(tmp_path, "odd", "lead-3")
    assert done.returncode == 1
    ((status, reason, kept),) = rows(
        tmp_path,
        "select status, reason, (select count(*) from outputs where run_id = id) from runs where model = 'odd'",
    )
    assert (status, kept) == ("failed", 2)
    assert told in reason
    assert rows(tmp_path, "select status from runs where model = 'lead-3'") == [("done",)]


@pytest.mark.parametrize(
    ("reading", "told"),
    [("return None", "NoneType instead of a string"), ("raise KeyError('summary')", "KeyError: 'summary'")],
)
def test_an_output_that_cannot_be_read_is_named_and_loses_none_before_it(
    tmp_path: Path, reading: str, told: str
) -> None:
    odd(tmp_path, reading=reading)
    screen(tmp_path, "odd", "lead-3")
    assert rows(tmp_path, "select model, count(*) from runs join outputs on id = run_id group by 1") == [
        ("lead-3", 5),
        ("odd", 2),
    ]
    ((reason,),) = rows(tmp_path, "select reason from runs where status = 'failed'")
    assert "sample 'dev_2'" in reason and told in reason


def test_what_a_library_prints_ends_no_run(tmp_path: Path) -> None:
    odd(tmp_path, fault=r"print('half a character: \ud800')")
    assert screen(tmp_path, "odd").returncode == 0
    (log,) = (tmp_path / "results" / "logs").iterdir()
    assert r"half a character: \ud800" in log.read_text(encoding="utf-8")
