"""Registry entries as TOML text, and adding one to a file without touching what is in it."""

from __future__ import annotations

import json
import os
import tempfile
import tomllib
from dataclasses import MISSING, fields
from pathlib import Path

from dsum_bench.errors import UserError
from dsum_bench.registry.toml_lines import join_key
from dsum_bench.spec import DatasetSpec

OWN = ("name", "origin")
ALWAYS = ("format", "path", "language")


def dataset_entry(spec: DatasetSpec) -> str:
    """``[datasets.NAME]`` with the keys that differ from their defaults, and those that a reader looks for."""
    lines = [f"[{join_key('datasets', spec.name)}]"]
    for field in fields(DatasetSpec):
        value = getattr(spec, field.name)
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        if field.name not in OWN and (field.name in ALWAYS or value != default):
            lines.append(f"{field.name} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{join_key(key)} = {_toml(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    text = str(value)
    literal = "\\" in text and "'" not in text and text.isprintable()  # a pattern is easier to read so
    return f"'{text}'" if literal else json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def append_dataset(file: Path, name: str, entry: str) -> None:
    """Add an entry to the end of a registry file, which is made where there is none. Nothing in it changes.

    Raises:
        UserError: the file is not valid TOML, has a dataset of this name, or cannot be written.
    """
    try:
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        there = tomllib.loads(text).get("datasets", {})
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{file}: not valid TOML: {error}; nothing was written") from None
    if not isinstance(there, dict) or name in there:
        raise UserError(f"{file} already has a dataset '{name}'; choose another name with --name")
    joined = text + ("" if not text or text.endswith("\n") else "\n") + ("\n" if text else "") + entry
    try:
        tomllib.loads(joined)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{file}: the entry cannot be appended to this file ({error}); nothing was written") from None
    _replace(file, joined)


def _replace(file: Path, text: str) -> None:
    try:
        handle, made = tempfile.mkstemp(dir=file.absolute().parent, prefix=f".{file.name}-")
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as out:
            out.write(text)
        Path(made).chmod(file.stat().st_mode & 0o777 if file.exists() else 0o644)
        Path(made).replace(file)
    except OSError as error:
        raise UserError(f"{file} cannot be written: {error.strerror or error}") from None
