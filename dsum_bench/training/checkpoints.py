"""Checkpoints that are known to be whole: each has a list of its files with their sizes and digests. No torch."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

MANIFEST = "complete.json"
"""Written last: a checkpoint without it was broken off."""
KEPT = 2


def step_of(checkpoint: Path) -> int:
    """The update after which it was written."""
    return int(checkpoint.name.rpartition("-")[2])


def all_of(folder: Path) -> list[Path]:
    """Checkpoints in a folder, the newest first, whole or not."""
    return sorted((f for f in folder.glob("checkpoint-*") if f.is_dir()), key=step_of, reverse=True)


def seal(checkpoint: Path) -> None:
    """Have all of a checkpoint on the disk, then write the list of what it holds.

    Raises:
        OSError: the disk is full, or a file went away.
    """
    found = {}
    for file in _files(checkpoint):
        sync(file)
        found[file.relative_to(checkpoint).as_posix()] = [file.stat().st_size, _digest(file)]
    new = checkpoint / f".{MANIFEST}"
    new.write_text(json.dumps(found, indent=1), encoding="utf-8")
    sync(new)
    new.rename(checkpoint / MANIFEST)
    sync(checkpoint)
    sync(checkpoint.parent)


def fault(checkpoint: Path) -> str:
    """What is wrong with a sealed checkpoint, as the end of a sentence; '' where nothing is."""
    try:
        listed = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))
        for name, (size, digest) in listed.items():
            file = checkpoint / name
            if not file.is_file():
                return f"{name} is missing"
            if file.stat().st_size != size:
                return f"{name} has {file.stat().st_size} of {size} bytes"
            if _digest(file) != digest:
                return f"{name} is not what was written"
    except (OSError, ValueError, TypeError, AttributeError) as error:
        return f"its list of files cannot be read ({error})"
    return ""


def newest_whole(folder: Path, tell: Callable[[str], None]) -> Path | None:
    """The newest checkpoint that is as it was written. Those before it that are not are removed.

    tell: is given a sentence about each that was damaged after it had been written, and about what is done instead.
    """
    damaged: list[str] = []
    for checkpoint in all_of(folder):
        if not (checkpoint / MANIFEST).is_file():
            shutil.rmtree(checkpoint, ignore_errors=True)
            continue
        wrong = fault(checkpoint)
        if not wrong:
            for name in damaged:
                tell(f"{name}; going on from {checkpoint.name}")
            return checkpoint
        damaged.append(f"{checkpoint.name} is damaged: {wrong}")
        shutil.rmtree(checkpoint, ignore_errors=True)
    for name in damaged:
        tell(f"{name}; no other checkpoint is left, so training starts over")
    return None


def prune(folder: Path) -> None:
    """Keep the newest sealed checkpoints."""
    sealed = [f for f in all_of(folder) if (f / MANIFEST).is_file()]
    for old in sealed[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:  # a folder, on Windows
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_all(folder: Path) -> None:
    """Have all of a folder on the disk."""
    for file in _files(folder):
        sync(file)
    sync(folder)


def _files(folder: Path) -> list[Path]:
    return sorted(f for f in folder.rglob("*") if f.is_file() and f.name not in (MANIFEST, f".{MANIFEST}"))


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
