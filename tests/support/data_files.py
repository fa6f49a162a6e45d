"""Data files and the entries that name them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dsum_bench.datasets.load import load
from dsum_bench.errors import UserError
from dsum_bench.plugins import Plugins
from dsum_bench.spec import DatasetSpec, PluginSettings

PLUGINS = Plugins(PluginSettings(packages=()))
KOREAN = "#Person1#: 여보세요, 내일 몇 시에 만날까요?\n#Person2#: 오후 세 시에 #Address#에서 봐요."


def spec(path: Path | str, **changes: Any) -> DatasetSpec:
    fields: dict[str, Any] = {"name": "mine", "format": "csv", "path": str(path), "origin": "registry.toml", **changes}
    return DatasetSpec(**fields)


def csv_text(rows: Sequence[dict[str, str]], **options: Any) -> str:
    """Rows as the standard library writes them."""
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(rows[0]), **options)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def row(number: int, **changes: str) -> dict[str, str]:
    return {"id": f"d{number}", "dialogue": f"{KOREAN} {number}", "summary": f"요약 {number}", **changes}


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def refused(dataset: DatasetSpec, split: str = "dev", references: bool = True) -> str:
    with pytest.raises(UserError) as error:
        load(dataset, PLUGINS, split, references)
    return str(error.value)


def splits(dataset: DatasetSpec) -> tuple[str, ...]:
    return PLUGINS.datasets[dataset.format](dataset).splits()
