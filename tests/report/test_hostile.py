"""What models write is hostile input: none of it may run, and all of it must be seen."""

from __future__ import annotations

from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest
from browser import complaints, size, until
from report_results import DATASET, REFERENCES, open_results, run_spec, shipped_samples, store_summaries

from dsum_bench.report import markdown_report, write_report
from dsum_bench.spec import Finding, Sample
from dsum_bench.store.samples import keep_samples

pytestmark = pytest.mark.xdist_group("browser")

CANARY = "window.canary=1"
ATTACKS = [
    f"</script><script>{CANARY}</script>",
    f"--></script><script>{CANARY}//",
    f"<img src=x onerror={CANARY}>",
    f"<svg onload={CANARY}><animate onbegin={CANARY} attributeName=x dur=1s>",
    f"<svg><script>{CANARY}</script></svg>",
    f"<iframe srcdoc='<script>parent.{CANARY}</script>'>",
    f"<a href=\"javascript:{CANARY}\">여기</a>",
    f"javascript:{CANARY}",
    f"' autofocus onfocus='{CANARY}' x='",
    f"\" onmouseover=\"{CANARY}\" x=\"",
    f"<details open ontoggle={CANARY}>",
    f"<style>@import 'javascript:{CANARY}'</style>",
    f"<base href=//evil.example/><object data=javascript:{CANARY}>",
    f"<template><img src=x onerror={CANARY}></template><math><mi xlink:href=javascript:{CANARY}>",
    "{{ 7 * 7 }} {% for x in y %} ${7*7} #{7*7}",
    f"${{{CANARY}}} `{CANARY}` {{{{constructor.constructor('{CANARY}')()}}}}",
    "t:title c:text datum.x",
    "\u202e왼쪽으로\u202c \u2066격리\u2069 \u200f끝",
    "앞\x00뒤 \x1b[31m빨강\x1b[0m \x07 \x9b31m",
    "외톨이 \ud800 대리 \udfff 문자",
    "[red]마크업[/red] [link=http://evil.example]여기[/link] [/] [bold",
    "=cmd|' /C calc'!A0",
    "+1+1 @SUM(A1:A9) -2+3",
    "가" * 3000,
    "\u0301" * 200,
    "<!-- <script> <!-- ]]> &lt;b&gt; &amp;amp;",
]  # fmt: skip
N = 200


def hostile(n: int) -> list[str]:
    """n strings, no two alike."""
    return [f"{attack} {i}" for i, attack in enumerate(islice(cycle(ATTACKS), n))]


@pytest.fixture(scope="module")
def hostile_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hostile summaries, dialogues, references, ids, topics, findings, reasons, and model names."""
    path = tmp_path_factory.mktemp("hostile") / "dsum.db"
    said = hostile(N)
    plain = shipped_samples(1)[0]
    # An id is a key of the database and must be a string that it can hold.
    ids = [f"s{i} {text}".encode("utf-8", "replace").decode() for i, text in enumerate(said)]
    samples = [
        Sample(ids[i], f"#Person1#: {text}\n{plain.dialogue}", (text, plain.references[0]), text[:60])
        for i, text in enumerate(said)
    ]
    with open_results(path) as store:
        keep_samples(store, DATASET, REFERENCES, samples, True)
        summaries = [*said[1:], "한 줄 " * 200_000]
        for i, attack in enumerate([a for a in ATTACKS if a.isprintable()][:16]):
            run = run_spec(f"모델 {i} {attack[:300]}", N)
            key = store_summaries(store, run, samples, summaries if i == 0 else said, 30 + i)
            store.keep_findings(key, "after", [Finding("cut-outputs", "warning", attack, 3, N, attack[:1])])
        store.record(run_spec(f"skipped {ATTACKS[0]}", N), "model", "skipped", ATTACKS[2])
    return path


def test_no_hostile_string_runs_and_each_is_shown(driver: Any, hostile_database: Path, tmp_path: Path) -> None:
    file = write_report(hostile_database, tmp_path / "report.html")
    driver.get("about:blank")
    complaints(driver)
    size(driver, 1280)
    driver.get(file.as_uri())
    until(driver, "return document.documentElement.dataset.ready === '' && !!document.querySelector('.chart svg')")
    driver.execute_script("location.hash = 'samples'")
    until(driver, "return document.querySelectorAll('#sample section[data-run]').length > 1")
    seen: dict[str, None] = {}
    turns = "const turns = document.querySelector('#sample .turns')?.textContent"
    another = f"{turns}; return turns === arguments[0] ? '' : turns"
    for _ in range(N):
        seen[until(driver, another, next(reversed(seen), ""))] = None  # a slow machine shows the next sample later
        assert driver.execute_script("return !document.querySelector('#sample :is(img, svg, iframe, script)')")
        driver.execute_script("dispatchEvent(new KeyboardEvent('keydown', {key: 'j'}))")
    assert len(seen) == N
    for tab in ("samples", "charts", "training", "runs", "boards"):
        driver.execute_script("location.hash = arguments[0]", tab)
        until(driver, "return !document.getElementById(`tab-${arguments[0]}`).hidden", tab)
        driver.execute_script("for (const d of document.querySelectorAll('details')) d.open = true")
        until(driver, "return document.documentElement.scrollWidth <= 1280")
    until(driver, "return document.querySelectorAll('.chart svg').length > 2")
    assert driver.execute_script("return window.canary") is None
    assert driver.execute_script("return document.scripts.length") == driver.execute_script(
        "return [...document.scripts].filter(s => s.type || s.text.includes('(() =>')).length"
    )
    assert complaints(driver) == []


def test_the_policy_itself_stops_a_script_that_got_in(driver: Any, report_file: Path, tmp_path: Path) -> None:
    """The second line of defence, shown alone: markup planted in the file runs nothing."""
    page = report_file.read_text(encoding="utf-8")
    planted = f"<script>{CANARY}</script><img src=x onerror='{CANARY}'><a id=plant href='javascript:{CANARY}'>x</a>"
    file = tmp_path / "planted.html"
    file.write_text(page.replace('<main id="content"', f'{planted}<main id="content"'), encoding="utf-8")
    driver.get(file.as_uri())
    until(driver, "return document.documentElement.dataset.ready === ''")
    driver.execute_script("document.getElementById('plant').click()")
    refused = driver.execute_script(
        "try { document.body.innerHTML = '<b>x</b>'; return false } catch (e) { return e instanceof TypeError }"
    )
    assert refused
    assert driver.execute_script("return window.canary") is None
    assert any("Content Security Policy" in told for told in complaints(driver))


def test_a_long_text_is_cut_and_can_be_opened(driver: Any, hostile_database: Path, tmp_path: Path) -> None:
    file = write_report(hostile_database, tmp_path / "report.html")
    driver.get(file.as_uri())
    until(driver, "return document.documentElement.dataset.ready === ''")
    driver.execute_script("location.hash = 'samples'")
    until(driver, "return document.querySelectorAll('#sample-list a').length > 0")
    length = driver.execute_script("""
        const run = [...document.getElementById('run-a').options].find(o => o.textContent.startsWith('모델 0 '));
        document.getElementById('run-a').value = run.value;
        document.getElementById('sample-order').value = 'position';
        document.getElementById('run-a').dispatchEvent(new Event('change'));
        dispatchEvent(new KeyboardEvent('keydown', {key: 'k'}));
        const links = document.querySelectorAll('#sample-list a');
        location.hash = links[links.length - 1].getAttribute('href');
        return new Promise(done => setTimeout(() => {
            const text = document.querySelector('#sample section[data-run] .text');
            const before = text.textContent.length;
            text.querySelector('button').click();
            done([before, text.textContent.length]);
        }, 500));""")
    assert length[0] < 3000 and length[1] == len("한 줄 " * 200_000)


def test_markdown_keeps_hostile_names_on_their_line(hostile_database: Path) -> None:
    text = markdown_report(hostile_database)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 3 * (1 + 16)
    # An unescaped bar would add a cell; an unescaped angle bracket would be HTML.
    assert len({line.replace("\\|", "").count("|") for line in rows[:17]}) == 1
    assert "<script" not in text.replace("\\<", "")
