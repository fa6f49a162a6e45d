"""One chart as a file, as an Altair chart, and as text."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from rich.cells import cell_len

from dsum_bench.cli import main
from dsum_bench.cli.plot import PLOTS as OFFERED
from dsum_bench.errors import UserError
from dsum_bench.report.content import Content, gather
from dsum_bench.report.plots import PLOTS, make_chart, plot_rows, save_plot
from dsum_bench.report.terminal import ASCII, UNICODE, text_plot
from dsum_bench.store import reader


@pytest.fixture(scope="module")
def content(database: Path) -> Content:
    return gather(database, "rouge@mecab")


def test_the_command_offers_every_plot() -> None:
    assert OFFERED == PLOTS


@pytest.mark.parametrize("what", PLOTS)
def test_every_plot_becomes_a_drawing_with_its_marks(content: Content, what: str, tmp_path: Path) -> None:
    file = save_plot(make_chart(content, what, language="ko"), tmp_path / f"{what}.svg")
    root = ElementTree.parse(file).getroot()
    texts = {node.text for node in root.iter("{http://www.w3.org/2000/svg}text")}
    labels = {str(row.get("label", row.get("a"))) for row in plot_rows(content, what)}
    if what != "tradeoff":  # there, only the runs on the front are named
        assert labels <= texts | {str(t) for t in texts}
    assert not any(text and text.startswith(("t:", "c:")) for text in texts)
    assert len(list(root.iter("{http://www.w3.org/2000/svg}path"))) > len(labels)


def test_a_plots_numbers_are_the_boards(content: Content, database: Path) -> None:
    (board,) = reader.boards(database, "rouge@mecab")
    means = {row.run_id: (row.means["mean"], *row.intervals["mean"]) for row in board.rows}
    rows = plot_rows(content, "forest")
    assert sorted((r["mean"], r["low"], r["high"]) for r in rows) == sorted(means.values())


def test_png_and_html_are_written_and_other_endings_are_refused(content: Content, tmp_path: Path) -> None:
    chart = make_chart(content, "forest", dark=True)
    assert save_plot(chart, tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    page = save_plot(chart, tmp_path / "a.html").read_text(encoding="utf-8")
    assert "cdn.jsdelivr" not in page
    with pytest.raises(UserError, match=r"must end in .svg"):
        save_plot(chart, tmp_path / "a.gif")


@pytest.mark.parametrize(("what", "value", "told"), [
    ("forrest", None, "forest"),
    ("tradeoff", "minutes", "memory, money, params, seconds"),
    ("distribution", "length", "characters"),
    ("curve", "rouge", "eval_loss, loss"),
])  # fmt: skip
def test_what_cannot_be_drawn_is_an_error_that_names_what_can(
    content: Content, what: str, value: str | None, told: str
) -> None:
    with pytest.raises(UserError, match=told):
        plot_rows(content, what, value)


@pytest.mark.parametrize("what", ["forest", "distribution", "curve"])
@pytest.mark.parametrize("width", [50, 80, 120])
def test_text_fits_its_columns(content: Content, what: str, width: int) -> None:
    for signs in (UNICODE, ASCII):
        lines = text_plot(what, plot_rows(content, what), width, signs).splitlines()
        assert max(map(cell_len, lines)) <= width
        assert signs is UNICODE or "".join(lines).isascii()


def test_text_puts_points_where_the_values_are() -> None:
    rows = [
        {"label": "가나", "mean": 20.0, "low": 10.0, "high": 30.0, "kind": "model", "control": 25.0},
        {"label": "b", "mean": 25.0, "low": 20.0, "high": 30.0, "kind": "model", "control": 25.0},
    ]
    assert text_plot("forest", rows, 34, ASCII).splitlines() == [
        "가나 ----------o----------   20.00",
        "b              -----o-----   25.00",
        "     10.0    20.0     30.0",
        ": best control, 25.00; lines: 95 % intervals",
    ]


def test_the_command_prints_text_and_writes_files(database: Path, tmp_path: Path) -> None:
    results = ["--results", str(database.parent)]
    done = CliRunner(env={"COLUMNS": "80"}).invoke(main, ["plot", "curve", "--of", "eval_loss", *results])
    assert done.exit_code == 0 and "kobart@r2" in done.output and max(map(len, done.output.splitlines())) <= 80
    file = tmp_path / "x.json"
    done = CliRunner().invoke(main, ["plot", "lengths", "-o", str(file), *results])
    assert done.exit_code == 0
    (rows,) = json.loads(file.read_text(encoding="utf-8"))["datasets"].values()
    assert len(rows) == 24
    done = CliRunner().invoke(main, ["plot", "matrix", *results])
    assert done.exit_code == 2 and "-o matrix.svg" in done.output
