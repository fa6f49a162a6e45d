"""Models by family and by size, in the registry, the API and on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import Dsum
from hypothesis import given
from hypothesis import strategies as st

from dsum_bench import Bench
from dsum_bench.errors import UserError
from dsum_bench.registry.choosing import choose, count_of_weights
from dsum_bench.spec import ModelSpec

ZOO = (
    ModelSpec("lead-3", "lead", params=0, engine="control"),
    ModelSpec("qwen3-4b", "qwen", ("Qwen/Qwen3-4B-Instruct-2507",), 4_020_000_000),
    ModelSpec("kanana2-3b", "qwen", ("kakaocorp/kanana-2-3b-instruct",), 3_510_000_000),
    ModelSpec("midm2-mini", "chat", ("K-intelligence/Midm-2.0-Mini-Instruct",), 2_300_000_000),
    ModelSpec("mine", "chat", ("./gemma-mine",)),
    ModelSpec("solar-api", "openai", ("solar-pro4",), engine="openai"),
)


def names(family: str | None = None, most: int | str | None = None) -> list[str]:
    return [m.name for m in choose(ZOO, family, most).models]


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("qwen", ["qwen3-4b", "kanana2-3b"]),  # the adapter of both
        ("Kanana", ["kanana2-3b"]),
        ("MIDM", ["midm2-mini"]),
        ("gemma", ["mine"]),  # by its checkpoint
        ("solar", ["solar-api"]),
        ("lead", ["lead-3"]),
    ],
)
def test_a_family_is_an_adapter_or_the_beginning_of_a_name(family: str, expected: list[str]) -> None:
    assert names(family) == expected


def test_an_unknown_family_is_told_with_the_nearest() -> None:
    with pytest.raises(UserError, match="no model is of family 'kannana'; did you mean 'kanana'"):
        choose(ZOO, "kannana")
    with pytest.raises(UserError, match="no model is of family ''"):
        choose(ZOO, "")


@pytest.mark.parametrize("most", ["4B", "4b", "4 B", "4000M", "4000000000", 4_000_000_000, "4.0B"])
def test_sizes_are_written_in_many_ways(most: int | str) -> None:
    chosen = choose(ZOO, max_params=most)
    assert [m.name for m in chosen.models] == ["lead-3", "kanana2-3b", "midm2-mini"]
    assert chosen.omission == "left out because their size is unknown: mine, solar-api"


def test_a_model_of_just_that_size_stays() -> None:
    assert "qwen3-4b" in names(most="4.02B") and "qwen3-4b" not in names(most="4.019B")


@pytest.mark.parametrize("most", ["", "4GB", "four", "-4B", "4B params", "nan", "1e9", True, -1, 2.5])
def test_a_wrong_size_is_told(most: object) -> None:
    with pytest.raises(UserError, match="is not a valid model size; give a number of parameters such as 4B or 500M"):
        choose(ZOO, max_params=most)  # type: ignore[arg-type]


def test_nothing_that_fits_is_an_error() -> None:
    with pytest.raises(UserError, match="no model of family qwen has 1B parameters or fewer"):
        choose(ZOO, "qwen", "1B")


@given(st.integers(0, 10**7), st.sampled_from([("K", 3), ("M", 6), ("B", 9), ("T", 12)]))
def test_counts_are_exact(number: int, unit: tuple[str, int]) -> None:
    """Against integers; a float would be off in the last places."""
    assert count_of_weights(f"{number // 100}.{number % 100:02d}{unit[0]}") == number * 10 ** unit[1] // 100


# -- API and command line ---------------------------------------------------------------------------------------


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    entry = '[models.mine]\nsource = "./mine"\nadapter = "chat"\n'
    (tmp_path / "registry.toml").write_text(entry, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return Bench(results=tmp_path / "results", progress=None)


def test_the_bench_lists_and_plans_the_same_models(bench: Bench) -> None:
    listed = {m.name for m in bench.zoo(max_params="600M") if m.engine != "control"}
    planned = {c.run.model.name for c in bench.plan(max_params="600M", device="cpu", controls=False)}
    assert listed == planned and "qwen3-0.6b" in planned and "qwen3-1.7b" not in planned
    assert set(bench.models(max_params="600M")["name"]) >= listed | {"lead-3"}
    assert set(bench.models("hyperclovax")["name"]) == {"hyperclovax-seed", "hyperclovax-seed-0.5b"}


def test_a_size_beside_names_is_refused(bench: Bench) -> None:
    with pytest.raises(UserError, match="need --all and cannot be combined with model names"):
        bench.plan("smollm2-135m", max_params="4B")


def test_the_commands_choose_and_name_what_they_leave_out(tmp_path: Path, bench: Bench) -> None:
    dsum = Dsum(tmp_path)
    listed = dsum("models", "--max-params", "4B", "--json")
    sizes = {m["name"]: m["params"] for m in json.loads(listed.stdout)}
    assert sizes and max(sizes.values()) <= 4_000_000_000 and "mine" not in sizes
    assert "left out because their size is unknown: mine" in listed.stderr
    planned = dsum("screen", "--all", "--max-params", "150M", "--dry-run", "--json")
    names = {row["model"] for row in json.loads(planned.stdout)}
    assert {"kobart", "kobart-base", "smollm2-135m", "lead-3"} <= names and "kot5" not in names
    wrong = dsum("screen", "--all", "--max-params", "4GB")
    assert wrong.returncode == 2 and "'4GB' is not a valid model size" in wrong.stderr


def test_the_list_keeps_every_column_on_a_narrow_terminal(tmp_path: Path, bench: Bench) -> None:
    header, *rows = Dsum(tmp_path)("models", "--family", "hyperclovax").stdout.splitlines()
    assert header.split() == ["model", "params", "adapter", "source"]
    assert rows[1].split()[:3] == ["hyperclovax-seed-0.5b", "570M", "chat"] and max(map(len, rows)) <= 80
