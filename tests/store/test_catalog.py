"""A run is found by key, name, model or words, and an ambiguous name is answered with what tells the runs apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from store_runs import GREEDY, make_control, make_run, open_store, store_run

from dsum_bench.errors import UserError
from dsum_bench.spec import DecodingSpec
from dsum_bench.store import catalog, reader

BEAM = DecodingSpec("beam4", "beam", {"max_new_tokens": 128, "beams": 4})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "dsum.db"
    with open_store(path) as store:
        for decoding in (GREEDY, BEAM, replace(BEAM, params={"max_new_tokens": 128, "beams": 8})):
            store_run(store, make_run("kobart", decoding=decoding))
        store_run(store, make_run("llama32-3b", decoding=BEAM))
        store_run(store, make_control(), kind="control")
    return path


def key_of(path: Path, model: str, params: dict[str, object]) -> str:
    (found,) = [r for r in reader.runs(path) if r.row.model == model and dict(r.row.decoding_params) == params]
    return found.row.run_id


@pytest.mark.parametrize("words", ["kobart greedy", "GREEDY KoBART", "greedy talks dev kobart"])
def test_a_few_words_in_any_order_and_case_are_enough(path: Path, words: str) -> None:
    assert reader.run(path, words).row.run_id == key_of(path, "kobart", {"max_new_tokens": 128})


def test_words_of_parameters_tell_two_decodings_of_one_name_apart(path: Path) -> None:
    assert reader.run(path, "kobart beams=8").row.decoding_params["beams"] == 8


def test_an_ambiguous_name_is_answered_with_the_differences_alone(path: Path) -> None:
    with pytest.raises(UserError) as error:
        reader.run(path, "kobart")
    first, *lines = str(error.value).splitlines()
    assert first.startswith("'kobart' names 3 runs")
    assert len(lines) == 3 and len(set(lines)) == 3
    assert sum("beams=8" in line for line in lines) == 1 and sum("greedy" in line for line in lines) == 1
    assert "talks" not in str(error.value) and "kobart" not in "".join(lines)


def test_a_given_name_goes_before_the_names_of_models(path: Path) -> None:
    key = key_of(path, "kobart", {"max_new_tokens": 128, "beams": 8})
    with open_store(path) as store:
        store.rename(key, "llama32-3b")
    assert reader.run(path, "llama32-3b").row.run_id == key
    with open_store(path) as store:
        store.rename(key, "")
    assert reader.run(path, "llama32-3b").row.model == "llama32-3b"


def test_two_runs_cannot_have_one_name(path: Path) -> None:
    first, second, *_ = (r.row.run_id for r in reader.runs(path))
    with open_store(path) as store:
        store.rename(first, "mine")
        store.rename(first, "mine")
        with pytest.raises(UserError, match=f"run {first} is called 'mine' already"):
            store.rename(second, "mine")


def test_a_name_outlives_a_resumed_run(path: Path) -> None:
    with open_store(path) as store:
        key = store_run(store, make_run("solar", decoding=GREEDY), status="partial", finished=2)
        store.rename(key, "night")
        store_run(store, make_run("solar", decoding=GREEDY))
    assert reader.run(path, "night").row.status == "done"


def test_no_words_fit_no_run(path: Path) -> None:
    with pytest.raises(UserError, match="no run or model 'kobart nf4'"):
        reader.run(path, "kobart nf4")


def test_a_model_named_in_full_comes_before_those_whose_names_only_begin_so(tmp_path: Path) -> None:
    with open_store(tmp_path / "dsum.db") as store:
        for name in ("chat", "chat@tuned"):
            for split in ("dev", "test"):
                store_run(store, make_run(name, split=split))
    for name in ("chat", "chat@tuned"):
        assert reader.run(tmp_path / "dsum.db", f"{name} test").row.model == name
    assert {r.row.model for r in catalog.with_words(reader.runs(tmp_path / "dsum.db"), "chat test")} == {
        "chat",
        "chat@tuned",
    }


def test_of_runs_that_differ_in_their_samples_alone_the_largest_answers(tmp_path: Path) -> None:
    path = tmp_path / "dsum.db"
    with open_store(path) as store:
        small = store_run(store, make_run("kobart", n=4))
        large = store_run(store, make_run("kobart", n=50))
        store_run(store, make_run("kobart", n=99), status="partial", finished=7)
    assert reader.run(path, "kobart").row.run_id == large
    assert reader.run(path, "kobart greedy").row.run_id == large
    assert reader.run(path, "kobart 4 samples").row.run_id == small
    with open_store(path) as store:
        other = store_run(store, make_run("kobart", n=20, decoding=BEAM))
    with pytest.raises(UserError, match="names 2 runs") as error:
        reader.run(path, "kobart")
    assert large in str(error.value) and other in str(error.value) and small not in str(error.value)


@pytest.mark.parametrize("changes", [{"seed": 7}, {"split": "test"}, {"dataset": "calls"}, {"weights": "def"}])
def test_a_larger_run_with_another_setting_does_not_answer(tmp_path: Path, changes: dict[str, object]) -> None:
    with open_store(tmp_path / "dsum.db") as store:
        store_run(store, make_run("kobart", n=4))
        store_run(store, make_run("kobart", n=50, **changes))
    with pytest.raises(UserError, match="names 2 runs"):
        reader.run(tmp_path / "dsum.db", "kobart")


def test_two_selections_of_one_size_stay_ambiguous(tmp_path: Path) -> None:
    with open_store(tmp_path / "dsum.db") as store:
        for digest in ("first", "drawn"):
            store_run(store, make_run("kobart", n=50, dataset_fingerprint=digest))
    with pytest.raises(UserError, match="names 2 runs"):
        reader.run(tmp_path / "dsum.db", "kobart")
