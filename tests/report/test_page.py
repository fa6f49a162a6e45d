"""The report in a real browser with its network off: what it shows, and how it answers."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from assets import axe_script
from browser import complaints, size, until
from click.testing import CliRunner
from store_runs import SIGNATURE, score_rows

from dsum_bench.cli import main

pytestmark = pytest.mark.xdist_group("browser")

READY = "return document.documentElement.dataset.ready === '' && !!document.querySelector('.chart svg')"


@pytest.fixture
def page(driver: Any, report_file: Path) -> Any:
    driver.get("about:blank")
    driver.get(report_file.as_uri())
    driver.execute_script("try { localStorage.clear() } catch {}")
    driver.get("about:blank")
    complaints(driver)
    size(driver, 1280)
    driver.get(report_file.as_uri())
    until(driver, READY)
    return driver


def go(page: Any, address: str) -> None:
    page.execute_script("location.hash = arguments[0]", address)


def click(page: Any, selector: str) -> None:
    page.execute_script("document.querySelector(arguments[0]).click()", selector)


def choose(page: Any, selector: str, value: str) -> None:
    page.execute_script(
        "const s = document.querySelector(arguments[0]); s.value = arguments[1];"
        "s.dispatchEvent(new Event('change', {bubbles: true})); s.dispatchEvent(new Event('input', {bubbles: true}))",
        selector,
        value,
    )


def press(page: Any, key: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(page).send_keys(key).perform()


def models(page: Any) -> list[str]:
    return page.execute_script(
        "return [...document.querySelectorAll('article.board:not([hidden]) table.ranked tbody tr')]"
        ".filter(r => !r.hidden).map(r => r.dataset.run)"
    )


def open_samples(page: Any) -> None:
    go(page, "samples")
    until(page, "return document.querySelectorAll('#sample section.summary[data-run]').length > 1")


def listed(page: Any) -> list[str]:
    return page.execute_script("return [...document.querySelectorAll('#sample-list b')].map(b => b.textContent)")


def shown_sample(page: Any) -> str:
    return page.execute_script("return document.querySelector('.sample-head h3').textContent")


# -- numbers --------------------------------------------------------------------------------------------------


def test_every_number_of_the_boards_equals_the_leaderboards_json(page: Any, database: Path) -> None:
    said = CliRunner().invoke(main, ["leaderboard", "--results", str(database.parent), "--json", "--all-metrics"])
    boards = {board["signature"]: board for board in json.loads(said.output)}
    tables = page.execute_script("""return [...document.querySelectorAll('table.ranked')].map(t => ({
        signature: t.dataset.signature, rows: [...t.tBodies[0].rows].map(r => ({
            run: r.dataset.run, rank: r.cells[0].dataset.v, group: r.dataset.group,
            low: r.querySelector('[data-interval]').dataset.v, high: r.querySelector('[data-interval]').dataset.high,
            interval: r.querySelector('[data-interval]').textContent,
            columns: Object.fromEntries([...r.querySelectorAll('td[data-column]')]
                .map(c => [c.dataset.column, c.dataset.v])),
            means: Object.fromEntries([...r.querySelectorAll('[data-measure]')]
                .map(c => [c.dataset.measure, [c.dataset.v, c.textContent]]))
        }))}))""")
    assert {table["signature"] for table in tables} == set(boards)
    for table in tables:
        board = boards[table["signature"]]
        assert [row["run"] for row in table["rows"]] == [row["run_id"] for row in board["ranked"]]
        for shown, real in zip(table["rows"], board["ranked"], strict=True):
            assert (int(shown["rank"]), int(shown["group"])) == (real["rank"], real["group"])
            assert {m: float(v) for m, (v, _) in shown["means"].items()} == real["means"]
            assert all(text == f"{real['means'][m]:.2f}" for m, (_, text) in shown["means"].items())
            measure = "mean" if "mean" in real["means"] else board["measures"][-1]
            assert [float(shown["low"]), float(shown["high"])] == real["intervals"][measure]
            assert shown["interval"] == "–".join(f"{end:.2f}" for end in real["intervals"][measure])
            columns = shown["columns"]
            assert float(columns["seconds"]) == real["seconds_per_sample"]
            assert [int(columns[c]) for c in ("n", "trimmed", "cut", "empty")] == [
                real["n"], real["trimmed"], real["cut"], real["empty"]
            ]  # fmt: skip
            assert int(columns["memory"] or 0) == real["peak_memory"]


def stored(database: Path) -> dict[tuple[str, str, str], float]:
    """Run, sample, measure -> value of the signature that ranks."""
    with sqlite3.connect(database) as db:
        (number,) = db.execute("select id from signatures where signature = ?", [SIGNATURE]).fetchone()
    return {(run, sample, m): value for run, sample, signature, m, value in score_rows(database) if signature == number}


def test_the_scores_of_a_sample_equal_the_stores(page: Any, database: Path) -> None:
    open_samples(page)
    shown = page.execute_script("""return [...document.querySelectorAll('#sample section[data-run]')].map(s => [
        s.dataset.run, Object.fromEntries([...s.querySelectorAll('[data-measure]')]
            .map(m => [m.dataset.measure, [m.dataset.v, m.textContent]]))])""")
    sample = shown_sample(page)
    known = stored(database)
    for run, values in shown:
        real = {
            measure: value
            for (run_id, sample_id, measure), value in known.items()
            if (run_id, sample_id) == (run, sample)
        }
        assert {measure: float(value) for measure, (value, _) in values.items()} == real
        assert all(text == f"{measure} {real[measure]:.2f}" for measure, (_, text) in values.items())


def test_the_matrix_holds_what_compare_says_of_all_runs(page: Any, database: Path) -> None:
    runs = models(page)
    said = json.loads(CliRunner().invoke(main, ["compare", *runs, "--results", str(database.parent), "--json"]).output)
    drawn = page.execute_script("return dsum.page.boards[dsum.board].matrix")
    found = {frozenset((pair["a"], pair["b"])): pair for pair in drawn}
    assert len(found) == len(said["pairs"]) == 15
    for pair in said["pairs"]:
        shown = found[frozenset((pair["a"], pair["b"]))]
        sign = 1 if shown["a"] == pair["a"] else -1
        assert sign * shown["difference"] == pytest.approx(pair["difference"]["mean"], abs=1e-9)
        # The pair's own permutation test, which may find a little more, is left out where there are many pairs.
        assert shown["p"] == pytest.approx(pair["p"], abs=1e-9) or shown["p"] < pair["p"] <= pair["p_alone"] + 1e-9
        assert shown["apart"] == (pair["p"] < 0.05)
    go(page, "charts")
    until(page, "return document.querySelector('#figure-matrix svg')")
    page.execute_script("document.querySelector('#figure-matrix details.rows summary').click()")
    until(page, "return document.querySelectorAll('#figure-matrix tbody tr').length === 30")


# -- boards ---------------------------------------------------------------------------------------------------


def test_a_press_on_a_column_sorts_by_its_values(page: Any) -> None:
    ranked = models(page)
    click(page, "article.board:not([hidden]) th[data-key='rank'] button")
    assert models(page) == ranked[::-1]
    click(page, "article.board:not([hidden]) th[data-key='m:rouge2'] button")
    values = page.execute_script(
        "return [...document.querySelectorAll('article.board:not([hidden]) td[data-measure=rouge2]')]"
        ".map(c => Number(c.dataset.v))"
    )
    assert values == sorted(values)
    head = "document.querySelector('article.board:not([hidden]) th[data-key=\"m:rouge2\"]')"
    assert page.execute_script(f"return {head}.getAttribute('aria-sort')") == "ascending"


def test_the_filter_leaves_the_runs_that_hold_every_word(page: Any) -> None:
    everything = models(page)
    choose(page, "article.board:not([hidden]) .filter", "KOBART beam")
    assert len(everything) == 6 and len(models(page)) == 1
    assert "1 of 6" in page.execute_script("return document.querySelector('article.board .count').textContent")


def test_columns_can_be_taken_out_and_put_in(page: Any) -> None:
    hidden = "return document.querySelector('article.board th[data-column=decoding]').hidden"
    assert page.execute_script(hidden)
    click(page, "article.board input[data-column=decoding]")
    assert not page.execute_script(hidden)


def test_controls_groups_findings_and_unranked_runs_are_shown(page: Any) -> None:
    text = page.execute_script("return document.querySelector('article.board').innerText")
    assert "constant control" in " ".join(text.split())
    assert "3 of 24 were cut" in text and "needs 21 GiB, and 8 GiB are free" in text
    assert SIGNATURE in text


# -- samples --------------------------------------------------------------------------------------------------


def test_a_search_finds_the_samples_that_hold_it(page: Any) -> None:
    open_samples(page)
    choose(page, "#search", "엑스레이")
    assert listed(page) == ["dev_1"]
    assert shown_sample(page) == "dev_1"
    assert "엑스레이" in page.execute_script("return document.querySelector('.turns').textContent")


def test_samples_are_sorted_by_score_and_by_disagreement(page: Any, database: Path) -> None:
    open_samples(page)
    runs = page.execute_script("return ['run-a', 'run-b'].map(id => document.getElementById(id).value)")
    known = stored(database)
    first, second = ({s: v for (r, s, m), v in known.items() if (r, m) == (run, "rougeL")} for run in runs)
    choose(page, "#sample-measure", "rougeL")
    choose(page, "#sample-order", "worst")
    assert listed(page) == sorted(first, key=lambda i: first[i])
    choose(page, "#sample-order", "gap")
    assert listed(page) == sorted(first, key=lambda i: -abs(first[i] - second[i]))


def test_filters_by_topic_length_and_finding(page: Any, database: Path) -> None:
    open_samples(page)
    run = page.execute_script("return document.getElementById('run-a').value")
    with sqlite3.connect(database) as db:
        cut = {i for (i,) in db.execute("select sample_id from outputs where run_id = ? and finish = 'length'", [run])}
        topic = {i for (i,) in db.execute("select sample_id from samples where topic = '병원'")}
    choose(page, "#finding", "cut")
    assert set(listed(page)) == cut
    choose(page, "#topic", "병원")
    assert set(listed(page)) == cut & topic
    choose(page, "#finding", "")
    choose(page, "#topic", "")
    counts = []
    for value in page.execute_script("return [...document.getElementById('length').options].map(o => o.value)")[1:]:
        choose(page, "#length", value)
        counts.append(len(listed(page)))
    assert sum(counts) == 24 and all(counts)


def test_words_are_marked_as_shared_or_as_new(page: Any) -> None:
    open_samples(page)
    marks = page.execute_script(
        "return [...document.querySelectorAll('#sample section[data-run] mark')].map(m => [m.className, m.textContent])"
    )
    assert ["new", "비행기"] in marks
    assert sum(kind == "shared" for kind, _ in marks) > 5


def test_a_key_held_down_does_not_block_the_tabs(page: Any) -> None:
    """Chromium ignores addresses after 200 in ten seconds, those of links and tabs included."""
    open_samples(page)
    page.execute_script("""
        for (let i = 0; i < 300; i++) dispatchEvent(new KeyboardEvent("keydown", { key: i % 2 ? "k" : "j" }));
        location.hash = "charts";""")
    until(page, "return !document.getElementById('tab-charts').hidden")


@pytest.mark.parametrize("width", [800, 1280])
def test_an_open_menu_stays_inside_the_window(page: Any, width: int) -> None:
    size(page, width)
    open_samples(page)
    page.execute_script("""
        const wide = document.createElement("div");
        wide.style.width = "620px";
        document.getElementById("run-more").append(wide);
        document.getElementById("run-more").parentElement.open = true;""")
    until(page, "return document.getElementById('run-more').offsetWidth > 600")
    until(page, "return document.documentElement.scrollWidth <= innerWidth")
    size(page, 1280)


def test_keys_go_to_the_next_and_the_previous_sample(page: Any) -> None:
    open_samples(page)
    press(page, "j")
    press(page, "j")
    assert shown_sample(page) == "dev_2"
    press(page, "k")
    assert shown_sample(page) == "dev_1"
    until(page, "return location.hash.endsWith(arguments[0])", "/dev_1")
    press(page, "/")
    assert page.execute_script("return document.activeElement.id") == "search"


def test_an_address_leads_to_a_run_and_its_sample(page: Any, report_file: Path) -> None:
    run = models(page)[2]
    page.get("about:blank")
    page.get(f"{report_file.as_uri()}#{run}/dev_5")
    until(page, "return document.querySelector('.sample-head h3')?.textContent === 'dev_5'")
    assert page.execute_script("return document.getElementById('run-a').value") == run


def test_switching_samples_costs_less_than_a_tenth_of_a_second_of_script(page: Any) -> None:
    """Of script and layout; the median, since another process may take the machine."""
    open_samples(page)
    spent = page.execute_script("""
        const found = [];
        for (let i = 0; i < 11; i += 1) {
            const before = performance.now();
            dispatchEvent(new KeyboardEvent('keydown', {key: 'j'}));
            document.body.offsetHeight;
            found.push(performance.now() - before);
        }
        return found.sort((a, b) => a - b)[5];""")
    assert shown_sample(page) == "dev_11"
    assert spent < 1000, "an order of magnitude more than on a quiet machine"


# -- the rest of the page -------------------------------------------------------------------------------------


def test_charts_training_and_runs_are_drawn(page: Any) -> None:
    go(page, "charts")
    for name in ("tradeoff", "distribution", "topics", "lengths"):
        until(page, "return document.querySelector(`#figure-${arguments[0]} svg`)", name)
    rows = page.execute_script(
        "document.querySelector('#figure-lengths details.rows summary').click();"
        "const count = () => document.querySelectorAll('#figure-lengths tbody tr').length;"
        "return new Promise(done => setTimeout(() => done(count()), 300))"
    )
    assert rows == 24  # six runs by four lengths
    go(page, "training")
    until(page, "return document.querySelectorAll('#curves svg').length === 2")
    assert "1e-4" in page.execute_script("return document.querySelector('table.trainings').textContent")
    go(page, "runs")
    text = page.execute_script("return document.getElementById('tab-runs').textContent")
    assert "max_new_tokens=64" in text and "너는 요약한다." in text


def test_the_language_changes_every_word_of_the_interface(page: Any) -> None:
    choose(page, "#language", "ko")
    assert page.execute_script("return document.documentElement.lang") == "ko"
    english = page.execute_script("""return [...document.querySelectorAll('[data-t]')]
        .filter(n => n.textContent === dsum.page.words[n.dataset.t].en
            && dsum.page.words[n.dataset.t].en !== dsum.page.words[n.dataset.t].ko).map(n => n.dataset.t)""")
    assert english == []
    assert "리더보드" in page.execute_script("return document.querySelector('nav.tabs').textContent")
    choose(page, "#language", "en")
    assert "Leaderboard" in page.execute_script("return document.querySelector('nav.tabs').textContent")


def test_the_theme_changes_page_and_charts(page: Any) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor"
    label = "return document.querySelector('article.board .chart svg text').getAttribute('fill')"
    light = page.execute_script(ground), page.execute_script(label)
    click(page, "#theme")
    until(page, f"{ground} !== arguments[0]", light[0])
    until(page, "const t = document.querySelector('article.board .chart svg text');"
          "return t && t.getAttribute('fill') !== arguments[0]", light[1])  # fmt: skip


def test_a_chart_is_there_when_the_window_was_made_narrower_elsewhere(page: Any) -> None:
    go(page, "runs")
    size(page, 390)
    until(page, "return innerWidth === 390")
    go(page, "boards")
    script = (
        "const s = document.querySelector('article.board .chart svg'); return s ? s.getBoundingClientRect().width : 0"
    )
    until(page, f"const w = (() => {{ {script} }})(); return w > 250 && w < 390")


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_window(page: Any, width: int) -> None:
    size(page, width)
    for tab in ("boards", "samples", "charts", "training", "runs"):
        go(page, tab)
        if tab == "samples":
            open_samples(page)
        widest = page.execute_script("return document.documentElement.scrollWidth")
        assert widest <= width, tab


@pytest.mark.network
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_serious_violation(page: Any, theme: str) -> None:
    page.execute_script("document.documentElement.dataset.theme = arguments[0]", theme)
    page.execute_cdp_cmd("Runtime.evaluate", {"expression": axe_script()})
    for tab in ("boards", "samples", "charts", "training", "runs"):
        go(page, tab)
        if tab == "samples":
            open_samples(page)
        found = page.execute_async_script(
            "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']}).then(r => done(r.violations"
            ".filter(v => ['serious', 'critical'].includes(v.impact))"
            ".map(v => [v.id, v.nodes.slice(0, 3).map(n => n.html.slice(0, 200))])))"
        )
        assert found == [], tab


def test_the_console_stays_silent(page: Any) -> None:
    for tab in ("boards", "samples", "charts", "training", "runs"):
        go(page, tab)
    open_samples(page)
    assert complaints(page) == []
