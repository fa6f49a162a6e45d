"""The architecture page is true: its rooms are those of the code, imports go down, and the picture is current."""

from __future__ import annotations

from pathlib import Path

import architecture
import imports
import pytest

PAGE = architecture.PAGE.read_text(encoding="utf-8")
LAYERS = architecture.layers(PAGE)


@pytest.fixture(scope="module")
def graph() -> dict[str, frozenset[str]]:
    return imports.graph()


def test_the_page_has_exactly_the_rooms_of_the_package(graph: dict[str, frozenset[str]]) -> None:
    rooms = [room for group in LAYERS.values() for room in group]
    assert sorted(rooms) == sorted(graph)


def test_no_rooms_import_each_other(graph: dict[str, frozenset[str]]) -> None:
    assert imports.cycles(graph) == []


def test_imports_go_down_but_for_those_that_the_page_explains(graph: dict[str, frozenset[str]]) -> None:
    assert imports.upward(graph, architecture.heights(LAYERS)) == architecture.exceptions(PAGE)


def test_every_step_of_the_data_flow_names_rooms(graph: dict[str, frozenset[str]]) -> None:
    assert set(architecture.steps(PAGE)) <= set(graph)


def test_the_picture_is_that_of_the_code(graph: dict[str, frozenset[str]]) -> None:
    drawn = architecture.PICTURE.read_text(encoding="utf-8")
    assert drawn == architecture.picture(PAGE, graph), "run: python tests/support/architecture.py"


# -- the rules themselves, on a package made for it -------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "demo"
    (folder / "low").mkdir(parents=True)
    (folder / "__init__.py").write_text("NAME = 1\n")
    (folder / "low" / "a.py").write_text("import os\nfrom demo import NAME\n")
    (folder / "high.py").write_text("def call():\n    from demo.low.a import os\n")
    (folder / "__main__.py").write_text("from demo.high import call\n")
    return folder


def test_imports_in_functions_count_and_those_for_type_checkers_do_not(package: Path) -> None:
    assert imports.graph(package)["high"] == {"low"}
    later = (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from demo.high import call\nelse:\n    import demo\n"
    )
    (package / "low" / "b.py").write_text(later)
    assert imports.graph(package)["low"] == {"__init__"}


def test_a_cycle_and_an_upward_import_are_found(package: Path) -> None:
    (package / "low" / "b.py").write_text("import demo.high\n")
    found = imports.graph(package)
    assert imports.cycles(found) == [["high", "low"]]
    assert imports.upward(found, {"high": 2, "low": 1, "__init__": 0, "cli": 3}) == {("low", "high")}


def test_what_follows_from_other_imports_is_not_drawn() -> None:
    found = {"a": frozenset("bc"), "b": frozenset("c"), "c": frozenset[str]()}
    assert architecture.essential(found) == {("a", "b"), ("b", "c")}
