"""The built-in dataset formats: where the file of a split is, and which splits there are."""

from __future__ import annotations

import glob
import os
import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path, PurePath
from typing import TypeVar

from dsum_bench.datasets.arrow import parquet_records
from dsum_bench.datasets.base import DatasetReader, Row
from dsum_bench.datasets.formats import BY_SUFFIX, Records, csv_records, jsonl_records
from dsum_bench.errors import UserError, did_you_mean
from dsum_bench.spec import DatasetSpec

T = TypeVar("T")

SPLIT = "{split}"


def split_pattern(pattern: str) -> re.Pattern[str]:
    """What a path pattern fits. The group ``split`` is the split's name, which holds no separator; ``*`` is anything
    that holds none."""
    first, *others = (r"[^/\\]*".join(map(re.escape, part.split("*"))) for part in pattern.split(SPLIT))
    if not others:
        return re.compile(first)
    again = r"(?P=split)".join(others)
    shortest = "?" if "*" in pattern else ""  # what is left to the star is more than nothing
    return re.compile(rf"{first}(?P<split>[^/\\]+{shortest}){again}")


def _by_split(fits: Iterable[tuple[re.Match[str] | None, T]], default: str) -> dict[str, list[T]]:
    """Files that fit a pattern, by the split that it found in their names."""
    found: dict[str, list[T]] = {}
    for match, file in fits:
        if match is not None:
            found.setdefault(match.groupdict().get("split") or default, []).append(file)
    return found


class _FilesOfSplits(DatasetReader):
    """A dataset whose path names the file of each split, or one file that is the default split. With ``*`` several
    files are one split."""

    def splits(self) -> tuple[str, ...]:
        found = self._files()
        if not found:
            raise UserError(f"dataset '{self.spec.name}': {self._nothing()}")
        return tuple(sorted(found))

    def rows(self, split: str) -> Iterator[Row]:
        known = self.splits()
        if split not in known:
            raise UserError(
                f"dataset '{self.spec.name}' has no split '{split}'; there are {', '.join(known)}"
                f"{did_you_mean(split, known)}"
            )
        for file in self._files()[split]:
            name = str(file)
            try:
                data = file.read_bytes()
            except OSError as error:
                raise UserError(f"{name} cannot be read: {error.strerror or error}") from None
            yield from self._records(name)(data, name, self.spec.encoding)

    @abstractmethod
    def _files(self) -> dict[str, list[Path]] | dict[str, list[Traversable]]:
        """The files of each split there is, in the order of their names; several where a path holds ``*``."""

    @abstractmethod
    def _nothing(self) -> str:
        """Why there is no file."""

    @abstractmethod
    def _records(self, file: str) -> Records:
        """How such a file is cut into records."""


class LocalFiles(_FilesOfSplits):
    """Files of this machine."""

    def _files(self) -> dict[str, list[Path]]:
        path = os.path.normpath(self.spec.path)
        pattern = split_pattern(path)
        anywhere = "*".join(glob.escape(part) for part in path.replace(SPLIT, "*").split("*"))
        fits = [(pattern.fullmatch(p), Path(p)) for p in sorted(glob.glob(anywhere))]  # noqa: PTH207  # it is absolute
        return _by_split([(m, p) for m, p in fits if p.is_file()], self.spec.default_split)

    def _nothing(self) -> str:
        before = self.spec.path.partition(SPLIT)[0]
        folder = Path(before if before.endswith(("/", os.sep)) else str(Path(before).parent))
        if not folder.is_dir():
            return f"folder {folder} does not exist"
        return f"no file {self.spec.path}" if SPLIT not in self.spec.path else f"no file matches {self.spec.path}"


class CsvReader(LocalFiles):
    """CSV files with a header line, or tab-separated ones whose names end in ``.tsv``."""

    name = "csv"

    def _records(self, file: str) -> Records:
        return csv_records


class JsonlReader(LocalFiles):
    """Files with one JSON object on each line."""

    name = "jsonl"

    def _records(self, file: str) -> Records:
        return jsonl_records


class ParquetReader(LocalFiles):
    """Parquet files, one for each split."""

    name = "parquet"

    def _records(self, file: str) -> Records:
        return parquet_records


class EmbeddedReader(_FilesOfSplits):
    """Files inside an installed package: the path is ``PACKAGE:inner/{split}.jsonl``, or ``.csv``, ``.tsv``.

    The package is imported, as a plugin's is.
    """

    name = "embedded"

    def __init__(self, spec: DatasetSpec) -> None:
        super().__init__(spec)
        self.package, colon, self.inner = spec.path.partition(":")
        if not (colon and self.package and self.inner):
            raise UserError(f"dataset '{spec.name}': path '{spec.path}' must be PACKAGE:inner/{SPLIT}.jsonl")

    def _files(self) -> dict[str, list[Traversable]]:
        try:
            root = files(self.package)
        except (ImportError, TypeError):
            raise UserError(f"dataset '{self.spec.name}': package '{self.package}' is not installed") from None
        pattern = split_pattern(self.inner)
        fits = [(pattern.fullmatch(name), file) for name, file in _inside(root, PurePath(self.inner).parts)]
        return _by_split(fits, self.spec.default_split)

    def _nothing(self) -> str:
        return f"package '{self.package}' has no file {self.inner}"

    def _records(self, file: str) -> Records:
        suffix = PurePath(file).suffix.lower()
        if suffix not in BY_SUFFIX:
            raise UserError(f"dataset '{self.spec.name}': {file} must end in {', '.join(BY_SUFFIX)}")
        return BY_SUFFIX[suffix]


def _inside(folder: Traversable, parts: tuple[str, ...], above: str = "") -> Iterator[tuple[str, Traversable]]:
    """Files below a folder of a package that may fit the parts of a pattern, with their names from the top."""
    part, rest = parts[0], parts[1:]
    if SPLIT in part or "*" in part:
        children = sorted(folder.iterdir(), key=lambda child: child.name) if folder.is_dir() else []
    else:
        children = [folder.joinpath(part)]
    for child in children:
        name = f"{above}{child.name}"
        if rest:
            yield from _inside(child, rest, f"{name}/")
        elif child.is_file():
            yield name, child
