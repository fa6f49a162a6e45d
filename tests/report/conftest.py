"""One browser and one set of results for the tests of the report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import chromium, need_browser
from report_results import make_results

from dsum_bench.report import write_report


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_results(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="session")
def report_file(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(database, tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    need_browser()
    with chromium() as found:
        yield found
