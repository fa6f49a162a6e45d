"""The file that ``report`` writes, and the numbers behind its charts."""

from __future__ import annotations

import base64
import gzip
import json
import re
import statistics
from dataclasses import replace
from html import unescape
from math import nan
from pathlib import Path
from string import Formatter
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from report_results import DATASET, REFERENCES, make_results, open_results, run_spec, shipped_samples, store_summaries

from dsum_bench.cli import main
from dsum_bench.errors import UserError
from dsum_bench.report import markdown_report, write_report
from dsum_bench.report.content import gather
from dsum_bench.report.figures import by_length, by_topic, front, mean_of, spread
from dsum_bench.report.words import WORDS
from dsum_bench.store.samples import keep_samples

finite = st.floats(-1e6, 1e6)


def blocks(page: str) -> dict[str, bytes]:
    found = re.findall(r'<script type="application/octet-stream" id="data-(\w+)">([^<]*)</script>', page)
    return {key: gzip.decompress(base64.b64decode(text)) for key, text in found}


# -- the file -------------------------------------------------------------------------------------------------


def test_the_file_names_nothing_outside_of_itself(report_file: Path) -> None:
    page = report_file.read_text(encoding="utf-8")
    head = unescape(page[: page.index("<style>")])
    assert re.search(r"default-src 'none'; img-src data:; script-src ('sha256-[\w+/=]+' ?)+;", head)
    ours = re.sub(r"<script\b[^>]*>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r'(?:src|href)="(?!#|data:,")', ours)
    assert not re.search(r"<(?:link(?! rel=\"icon\")|iframe|object|embed)\b|\son\w+=", ours)


def test_without_dialogues_nothing_that_retells_them_is_in_the_file(database: Path, tmp_path: Path) -> None:
    file = write_report(database, tmp_path, dialogues=False)
    assert file == tmp_path / "report.html"
    page = file.read_text(encoding="utf-8")
    everything = page + "".join(b.decode("utf-8", "replace") for b in blocks(page).values())
    for sample in shipped_samples(24):
        for text in (*sample.dialogue.split("\n"), *sample.references):
            assert text[:25] not in everything, text
    assert "병원" not in everything and "비행기" not in everything
    whole = write_report(database, tmp_path / "whole.html").read_text(encoding="utf-8")
    assert "비행기" in blocks(whole)["t0"].decode("utf-8")


def test_a_run_without_stored_dialogues_can_be_reported(tmp_path: Path) -> None:
    path = make_results(tmp_path, n=5, dialogues=False)
    texts = json.loads(blocks(write_report(path, tmp_path / "r.html").read_text(encoding="utf-8"))["t0"])
    assert texts["dialogues"] == [None] * 5 and texts["references"] == [[]] * 5
    assert texts["characters"] == [len(s.dialogue) for s in shipped_samples(5)]


def test_the_command_writes_the_file_and_says_where(database: Path, tmp_path: Path) -> None:
    file = tmp_path / "deep" / "page.html"
    done = CliRunner().invoke(main, ["report", "--results", str(database.parent), "-o", str(file)])
    assert done.exit_code == 0 and str(file) in done.output
    assert file.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_an_unknown_dataset_is_an_error_that_names_the_nearest(database: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="talk"):
        write_report(database, tmp_path / "r.html", dataset="talk")
    with pytest.raises(UserError, match="no results"):
        write_report(tmp_path / "none" / "dsum.db", tmp_path / "r.html")


def test_markdown_has_the_leaderboards_numbers(database: Path) -> None:
    said = CliRunner().invoke(main, ["leaderboard", "--results", str(database.parent), "--json"])
    (board,) = json.loads(said.output)
    rows = [line for line in markdown_report(database, metric="rouge@mecab").splitlines() if line.startswith("| ")][1:]
    for line, row in zip(rows, board["ranked"], strict=True):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[1] == row["model"] and cells[3] == f"{row['means']['mean']:.2f}"
        assert cells[8] == " to ".join(f"{end:.2f}" for end in row["intervals"]["mean"])


# -- words ----------------------------------------------------------------------------------------------------


def test_every_string_is_there_in_both_languages_with_the_same_places_to_fill() -> None:
    def places(text: str) -> set[str | None]:
        return {name for _, name, _, _ in Formatter().parse(text) if name is not None}

    for key, word in WORDS.items():
        assert word["en"].strip() and word["ko"].strip(), key
        assert places(word["en"]) == places(word["ko"]), key


# -- figures --------------------------------------------------------------------------------------------------


@given(st.lists(finite, min_size=1, max_size=40))
def test_quantiles_are_numpys(values: list[float]) -> None:
    found = spread([*values, nan])
    assert found is not None
    shares = [found.low, found.quarter, found.median, found.three_quarters, found.high]
    np.testing.assert_allclose(shares, np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95]), rtol=1e-9, atol=1e-6)
    assert found.mean == pytest.approx(statistics.fmean(values))


def test_the_spread_of_nothing_is_none() -> None:
    assert spread([]) is None and spread([nan, nan]) is None


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=14))
def test_the_front_is_what_no_other_point_dominates(points: list[tuple[int, int]]) -> None:
    def dominated(i: int) -> bool:
        x, y = points[i]
        return any(a <= x and b >= y and (a, b) != (x, y) for a, b in points)

    assert front(points) == {i for i in range(len(points)) if not dominated(i)}


@given(st.lists(st.integers(1, 500), max_size=60))
def test_bins_of_length_hold_every_sample_once_and_in_order(lengths: list[int]) -> None:
    bins = by_length(lengths)
    assert sorted(i for b in bins for i in b.members) == list(range(len(lengths)))
    ends = [tuple(map(int, b.name.split("-"))) for b in bins]
    assert all(low <= lengths[i] <= high for b, (low, high) in zip(bins, ends, strict=True) for i in b.members)
    assert ends == sorted(ends) and len(bins) <= 4


def test_topics_come_by_their_number_and_single_samples_are_left_out() -> None:
    groups = by_topic(["a", "b", None, "b", "c", "a", "b"])
    assert [(g.name, g.members) for g in groups] == [("b", (1, 3, 6)), ("a", (0, 5))]


def test_the_mean_of_a_group_leaves_missing_scores_out() -> None:
    values: Any = [1.0, nan, 3.0]
    assert mean_of(values, (0, 1, 2)) == 2.0
    assert mean_of(values, (1,)) is None


def test_a_paid_model_has_a_cost_and_a_place_on_its_front(tmp_path: Path) -> None:
    """201.5 tokens read and 31.5 written on average, at 2 and 10 a million: 0.000718 a sample."""
    samples = shipped_samples(4)
    with open_results(tmp_path / "dsum.db") as store:
        keep_samples(store, DATASET, REFERENCES, samples, True)
        for name, prices, quality in (("paid", (2.0, 10.0), 30), ("dear", (4.0, 20.0), 20), ("own", (), 40)):
            run = run_spec(name, 4)
            run = replace(run, model=replace(run.model, prices=prices))
            store_summaries(store, run, samples, [s.references[0] for s in samples], quality)
    found = {run.row.model: run for run in gather(tmp_path / "dsum.db").boards[0].runs}
    assert found["paid"].costs["money"] == pytest.approx(0.718)
    assert found["dear"].costs["money"] == pytest.approx(1.436)
    assert "money" not in found["own"].costs
    assert "money" in found["paid"].front and "money" not in found["dear"].front
