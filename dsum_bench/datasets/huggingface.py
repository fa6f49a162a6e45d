"""Datasets in the layouts of Hugging Face: folders of data files or of ``save_to_disk``, and those on the hub by id."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from dsum_bench.datasets.arrow import arrow_records
from dsum_bench.datasets.base import DatasetReader, Row
from dsum_bench.datasets.formats import BY_SUFFIX, Records
from dsum_bench.errors import UserError, suggestion
from dsum_bench.spec import DatasetSpec

HUB = "hub:"
CONVERTED = "refs/convert/parquet"
"""Branch on which the hub keeps every public dataset as Parquet files, ``CONFIGURATION/SPLIT/0000.parquet``."""

TIMEOUT = 20.0
"""Seconds that the hub has for an answer."""
RECORDS: Mapping[str, Records] = {".arrow": arrow_records, **BY_SUFFIX}
ABOUT = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "dataset_info.jsonl")
_SHARD = re.compile(r"(?P<split>[A-Za-z]\w*?)(?:[-_.]\d+(?:-of-\d+)?)?(?:-[0-9a-f]{16})?")
"""``train``, ``train-00000-of-00002``, the same with the fingerprint that older versions put behind it."""
_NUMBER = re.compile(r"(?:data-)?\d+(?:-of-\d+)?|dataset|part-\d+[\w-]*")
"""A file whose folder has the split's name: ``0000``, ``data-00000-of-00001``, ``dataset``."""

Layout = Mapping[str, Mapping[str, tuple[str, ...]]]
"""Configuration ('' for the only one) -> split -> files, in order."""


class HuggingFaceReader(DatasetReader):
    """A folder, or a dataset of the hub, of which the data files are read. No code of the dataset is run.

    The path is a folder, or ``hub:OWNER/NAME``, with ``@REVISION`` and ``#CONFIGURATION`` where they are needed.
    """

    name = "huggingface"

    def __init__(self, spec: DatasetSpec) -> None:
        super().__init__(spec)
        place, _, self.configuration = spec.path.removeprefix(HUB).partition("#")
        self.where, _, self.revision = place.partition("@") if spec.path.startswith(HUB) else (place, "", "")
        self.on_hub = spec.path.startswith(HUB)
        self._listed: tuple[Mapping[str, tuple[str, ...]], str | None] | None = None

    def splits(self) -> tuple[str, ...]:
        return tuple(sorted(self._files()[0]))

    def rows(self, split: str) -> Iterator[Row]:
        known, revision = self._files()
        if split not in known:
            there = f"; there are {', '.join(sorted(known))}"
            raise UserError(f"{self._what} has no split '{split}'{there}{suggestion(split, known)}")
        for name in known[split]:
            file = self._fetched(name, revision)
            try:
                data = file.read_bytes()
            except OSError as error:
                raise UserError(f"{file} cannot be read: {error.strerror or error}") from None
            shown = f"{self.where}/{name}" if self.on_hub else str(file)
            yield from RECORDS[file.suffix.lower()](data, shown, self.spec.encoding)

    @property
    def _what(self) -> str:
        return f"dataset '{self.spec.name}' ({self.spec.path})"

    def _files(self) -> tuple[Mapping[str, tuple[str, ...]], str | None]:
        """The files of each split, and the revision of the hub they are of."""
        if self._listed is None:
            found, revision = self._hub() if self.on_hub else (layout(_below(self._folder())), None)
            self._listed = self._chosen(found), revision
        return self._listed

    def _chosen(self, found: Layout) -> Mapping[str, tuple[str, ...]]:
        if not found:
            kinds = ", ".join(k for k in RECORDS)
            raise UserError(f"{self._what} has no data files ({kinds})")
        if not self.configuration and len(found) > 1:
            example = f"{self.spec.path}#{next(iter(found))}"
            raise UserError(
                f"{self._what} has several configurations: {', '.join(found)}; name one of them in the path, as in "
                f'path = "{example}"'
            )
        name = self.configuration or next(iter(found))
        if name not in found:
            raise UserError(f"{self._what} has no configuration '{name}'{suggestion(name, found)}")
        return found[name]

    def _folder(self) -> Path:
        folder = Path(self.where)
        if not folder.is_dir():
            advice = f'; a dataset of the hub is written path = "{HUB}OWNER/NAME"'
            raise UserError(f"dataset '{self.spec.name}': folder {folder} does not exist{advice}")
        return folder

    # -- the hub --------------------------------------------------------------------------------------------

    def _hub(self) -> tuple[Layout, str | None]:
        names, revision = self._asked(self.revision or None)
        if not layout(names) and revision is None:  # a dataset that is code, which the hub has run
            names, revision = self._asked(CONVERTED)
        return layout(names), revision

    def _asked(self, revision: str | None) -> tuple[list[str], str | None]:
        """Names of the files of a revision, and of which: offline it may be the other one that is in the cache."""
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError, RevisionNotFoundError

        try:
            info = HfApi().repo_info(self.where, repo_type="dataset", revision=revision, timeout=TIMEOUT)
            return [str(file.rfilename) for file in info.siblings or ()], revision
        except RevisionNotFoundError as error:
            if revision == CONVERTED:
                return [], revision
            raise UserError(f"{self._what}: {_told(error)}") from None
        except (HfHubHTTPError, ValueError) as error:  # ValueError: not a valid id
            raise UserError(f"{self._what}: {_told(error)}") from None
        except Exception as error:  # offline by setting or by fate; what is in the cache does
            for wanted in (revision, CONVERTED) if revision is None else (revision,):
                folder = self._cached(wanted)
                if folder is not None:
                    return _below(folder), wanted
            reason = f"the hub cannot be reached ({_told(error)}), and the dataset is not in its cache"
            raise UserError(f"{self._what}: {reason}") from None

    def _cached(self, revision: str | None) -> Path | None:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError

        try:
            return Path(snapshot_download(self.where, repo_type="dataset", revision=revision, local_files_only=True))
        except (LocalEntryNotFoundError, OSError):
            return None

    def _fetched(self, name: str, revision: str | None) -> Path:
        if not self.on_hub:
            return Path(self.where) / name
        from huggingface_hub import hf_hub_download

        try:
            return Path(hf_hub_download(self.where, name, repo_type="dataset", revision=revision))
        except Exception as error:  # of the network, of the hub, of the disk
            raise UserError(f"{self._what}: {name} cannot be fetched: {_told(error)}") from None


def layout(names: Iterable[str]) -> Layout:
    """Which files hold which split of which configuration, by their names; Parquet before other kinds.

    names: relative, with ``/``.
    """
    placed: dict[str, dict[tuple[str, str], list[str]]] = {}
    for name in sorted(names):
        path = PurePosixPath(name)
        suffix = path.suffix.lower()
        split = _split(path)
        if suffix not in RECORDS or split is None or path.name in ABOUT or path.name.startswith(("cache-", ".", "_")):
            continue
        placed.setdefault(suffix, {}).setdefault((_configuration(path, split), split), []).append(name)
    kind = next((placed[k] for k in (".arrow", ".parquet", *RECORDS) if k in placed), {})
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for (configuration, split), files in kind.items():
        found.setdefault(configuration, {})[split] = tuple(files)
    return found


def _split(path: PurePosixPath) -> str | None:
    if _NUMBER.fullmatch(path.stem):
        return path.parent.name or "train"  # save_to_disk of one split keeps no name; theirs for it is train
    found = _SHARD.fullmatch(path.stem)
    return found["split"] if found else None


def _configuration(path: PurePosixPath, split: str) -> str:
    folders: Sequence[str] = [p for p in path.parent.parts if p not in ("data", split)]
    return "/".join(folders)


def _below(folder: Path) -> list[str]:
    return [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]


def _told(error: BaseException) -> str:
    """The first line of an error that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line.rstrip(".") for line in lines if not line.startswith("(")), type(error).__name__)
