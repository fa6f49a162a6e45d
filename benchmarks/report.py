"""The report of many runs: how long it is written and opened, how fast it shows another sample, what viewers cost."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from statistics import median
from threading import Event, Thread
from time import perf_counter, sleep
from typing import Any
from urllib.request import urlopen

from benchmarks.measure import Row, interleaved
from benchmarks.startup import command, run_spec

RUNS, SAMPLES, VIEWERS = 60, 499, 20
SIGNATURE = "rouge|profile:rouge-1.0.1|tok:bench|refs:mean|scale:100|v:1"
MEASURES = ("rouge1", "rouge2", "rougeL", "sum", "mean")
READ_EVERY = 2.0
"""Seconds between two looks of a viewer, as the page has it."""
SHOWN = "return document.querySelector('#sample .turns')?.parentElement.textContent"


def run(data: Path, count: int, repeats: int) -> tuple[list[Row], list[str]]:
    """No peer does this; the figures are remarks. data: dialogues with summaries, repeated up to the size."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill(folder / "results" / "dsum.db", data)
        written = interleaved(
            {"report": lambda: command(folder, "-m", "dsum_bench", "report", "-o", "r.html")}, repeats
        )
        size = (folder / "r.html").stat().st_size / 1e6
        remarks = [
            f"`report` of {RUNS} runs x {SAMPLES} samples: {median(written['report']):.1f} s, {size:.1f} MB.",
            _opened(folder / "r.html"),
            _watched(folder / "sweep", count, repeats),
        ]
    return [], remarks


def fill(path: Path, data: Path) -> None:
    """A store of finished runs over real dialogues. A summary is a reference with words left out."""
    from dsum_bench.spec import Generation, Output, Sample
    from dsum_bench.store.rows import ScoredOutput
    from dsum_bench.store.samples import keep_samples
    from dsum_bench.store.writer import Store

    path.parent.mkdir(parents=True)
    rows = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()]
    samples = []
    for i in range(SAMPLES):
        row = rows[i % len(rows)]
        told = row.get("summary") or row["summary1"]
        references = tuple(told) if isinstance(told, list) else (told,)
        samples.append(Sample(f"s{i}", row["dialogue"], references, row.get("topic")))
    rng = random.Random(1)
    with Store.open(path) as store:
        store.declare_signature(SIGNATURE, "rouge@mecab", MEASURES)
        keep_samples(store, "d", "r", samples, True)
        for number in range(RUNS):
            key = store.open_run(run_spec(number, SAMPLES), "model")
            level, outputs = rng.uniform(10, 50), []
            for sample in samples:
                values = [max(0.0, rng.gauss(level, 8)) for _ in range(3)]
                measured = dict(zip(MEASURES, [*values, sum(values), sum(values) / 3], strict=True))
                text = " ".join(word for word in sample.references[0].split() if rng.random() < 0.8)
                made = Generation(sample.id, text, 300, 40, "stop", 0.5)
                outputs.append(ScoredOutput(Output(made, text), {SIGNATURE: measured}))
            store.add(key, outputs, {sample.id: i for i, sample in enumerate(samples)})
            store.close_run(key, "done", peak_memory=10**9)


def _opened(file: Path) -> str:
    """Time until the page can be used, and until another sample stands there, in headless Chromium."""
    if shutil.which("chromedriver") is None:
        return "No Chromium on this machine: opening the page was not measured."
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        start = perf_counter()
        driver.get(file.as_uri())
        _until(driver, "return document.documentElement.dataset.ready === ''")
        ready = perf_counter() - start
        driver.execute_script("location.hash = 'samples'")
        _until(driver, SHOWN)
        switched = driver.execute_async_script("""
            const done = arguments[0], times = [];
            const next = () => {
                if (times.length === 30) return done(times);
                const start = performance.now();
                dispatchEvent(new KeyboardEvent("keydown", { key: "j" }));
                document.body.offsetHeight;  // laid out
                requestAnimationFrame(() => setTimeout(() => { times.push(performance.now() - start); next(); }));
            };
            next();""")
    finally:
        driver.quit()
    return (
        f"Usable in Chromium after {ready:.1f} s; another sample stands there after {median(switched):.0f} ms (median)."
    )


def _until(driver: Any, script: str) -> None:
    while not driver.execute_script(script):
        sleep(0.02)


def _watched(folder: Path, count: int, repeats: int) -> str:
    """What viewers of the live page add to a sweep with a real model."""
    folder.mkdir()
    sweep = ("-m", "dsum_bench", "screen", "smollm2-135m", "--limit", str(count // 2), "--no-controls", "--fresh")
    command(folder, "-m", "dsum_bench", "screen", "smollm2-135m", "--limit", "1", "--no-controls")

    # The page is there before the sweep begins: its own start is no cost of looking at it.
    ratios = []
    for turn in range(repeats):
        times = {}
        for watched in (False, True)[:: -1 if turn % 2 else 1]:
            with viewers(folder) if watched else nullcontext():
                start = perf_counter()
                command(folder, *sweep)
                times[watched] = perf_counter() - start
            print(f"  {'watched' if watched else 'alone'}: {times[watched]:.3f} s", flush=True)
        ratios.append(times[True] / times[False])
    ratios.sort()
    return (
        f"`screen` of {count // 2} dialogues with {VIEWERS} viewers on the live page takes {median(ratios):.3f} times "
        f"as long as without ({ratios[0]:.3f} to {ratios[-1]:.3f})."
    )


@contextmanager
def viewers(folder: Path) -> Iterator[None]:
    """``view`` in a process of its own, and as many readers as ask for its state every other second."""
    view = subprocess.Popen(
        [sys.executable, "-u", "-m", "dsum_bench", "view"],
        cwd=folder, env=os.environ | {"COLUMNS": "200"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    stop = Event()
    readers: list[Thread] = []
    try:
        assert view.stdout is not None
        address = next(found[0] for line in view.stdout if (found := re.search(r"http://\S+", line)))
        urlopen(address).read()  # the first page loads what later ones have
        readers += [Thread(target=_read, args=(address, stop)) for _ in range(VIEWERS)]
        for reader in readers:
            reader.start()
        yield
    finally:
        stop.set()
        for reader in readers:
            reader.join()
        view.terminate()
        view.wait()


def _read(address: str, stop: Event) -> None:
    seen = None
    while not stop.is_set():
        stamp = json.load(urlopen(f"{address}live"))["stamp"]
        if stamp != seen:  # the page loads itself again
            urlopen(address).read()
            seen = stamp
        stop.wait(READ_EVERY)
