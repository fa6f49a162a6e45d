"""What many tests share: real tokenizers, the research data, adapters made as a run makes them."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import forked
import pytest
from assets import need, template, tokenizer_folder
from bart_tokenizer import trained
from commands import Dsum

# A job in the background of a shell script has SIGINT ignored, one under nohup SIGHUP. Whatever the tests start would
# inherit that.
for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, usual)

# Hundreds of tests start a command. Where no bytecode is written, each compiles the package anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

forked.prepare()
SHARED = Path(__file__).parents[1].parent / "shared"
FETCHING = {"tokenizer", "chat_template"}
READING = {"shared_data", "kobart_folder"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever fetches packages or reads the research data is marked so, and cannot forget it."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if fixtures & FETCHING:
            item.add_marker(pytest.mark.network)
        if fixtures & READING:
            item.add_marker(pytest.mark.data)
    # Long tests go first: one that begins last would be waited for while the other processes have nothing to do.
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    forked.fresh = forked.ALWAYS_FRESH or item.get_closest_marker("fresh") is not None
    _freeze()


_frozen = [0]
"""Modules that were loaded when their objects were set aside, each time."""


def _freeze() -> None:
    """Set the objects of loaded packages aside. A search for garbage passes over half a million of them once torch is
    there, and accelerate makes one in every training: four tenths of a small one."""
    if len(sys.modules) > _frozen[-1] + 300:
        gc.collect()
        gc.freeze()
        _frozen.append(len(sys.modules))


def pytest_unconfigure() -> None:
    forked.close()


@pytest.fixture(scope="session")
def tokenizer() -> Callable[[str], Any]:
    """``tokenizer(name)``: a real tokenizer (llama3, llama3_1, qwen2_5, qwen3, gemma3), one object per session.

    Do not change it; a test that must asks for ``tokenizer_folder`` and opens its own.
    """
    return cache(_open)


def _open(name: str) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(need(tokenizer_folder, name))


@pytest.fixture(scope="session")
def chat_template() -> Callable[[str], str]:
    """``chat_template(name)``: the text of a family's published template, ``llama3_2`` for one."""
    return lambda name: need(template, name)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the research data, which is no part of the project."""
    return _shared("data")


@pytest.fixture
def dsum(tmp_path: Path) -> Dsum:
    """The command line in the test's own folder: ``dsum("screen", "--no-controls", "lead-3")``, ``dsum.rows(sql)``."""
    return Dsum(tmp_path)


@pytest.fixture(scope="session")
def bart_tokenizer() -> Any:
    """A tokenizer of koBART's kind, made from the shipped dialogues. Do not change it."""
    return trained()


@pytest.fixture(scope="session")
def kobart_folder() -> Path:
    """Folder of koBART's real tokenizer and configuration, without weights; for what is published about koBART."""
    return _shared("fixtures") / "kobart-tokenizer"


def _shared(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"the research data is not here: no folder '{name}' in a folder 'shared' beside the repository")
    return folder
