"""Models from the hub: one quick look before, one download in the worker."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from shutil import disk_usage
from typing import Any

from dsum_bench.engines import checkpoint
from dsum_bench.engines.base import Tell
from dsum_bench.errors import ModelError, ModelSkipped, first_line
from dsum_bench.figures import size
from dsum_bench.spec import ModelSpec

REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
TIMEOUT = 8.0
TELL_EVERY = 5.0
"""Seconds between two signs of life of a download."""
PATTERNS = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")
IGNORED = ("original/*", "onnx/*", "openvino/*", "runs/*", "*/*.safetensors", "consolidated*.safetensors")


@dataclass(frozen=True, slots=True)
class HubModel:
    """What a look at the hub, or at its cache on this disk, tells of a model.

    revision: the commit. download_bytes: of what is not here yet. files: sizes of all files, where the hub was asked.
    """

    revision: str
    config: Mapping[str, Any]
    download_bytes: int
    folder: Path | None
    files: Mapping[str, int] = field(default_factory=dict)


@cache
def unreachable() -> str | None:
    """Why the hub cannot be reached, found once per process with one request; None when it can."""
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return "hub access is switched off (HF_HUB_OFFLINE)"
    try:
        get_session().head(constants.ENDPOINT, timeout=TIMEOUT / 2)
    except Exception as error:  # whatever the HTTP client of the day raises
        why = re.sub(r"^\[Errno -?\d+\] ", "", str(error)) or type(error).__name__
        return f"hub unreachable ({why})"
    return None


def look(model: ModelSpec) -> HubModel:
    """Find the model in the cache or on the hub, in seconds.

    Raises:
        ModelSkipped: not cached and the hub is unreachable, gated for this user, or larger than the disk has room for.
        ModelError: no such repository or revision, or only weights that the entry does not allow.
    """
    cached = _cached(model)
    if cached is not None and _seems_whole(cached):
        return cached
    reason = unreachable()
    if cached is None:
        if reason is None:
            return _ask(model)
        raise ModelSkipped(f"{reason}, and the model is not in its cache")
    if reason is None:
        try:
            return _completed(cached, model, _ask(replace(model, revision=cached.revision)))
        except (ModelSkipped, ModelError):
            return cached  # what is cached keeps working when the hub has lost it, or wants other rights
    if cached.folder is not None and not checkpoint.has_tokenizer(cached.folder):
        raise ModelSkipped(f"{reason}, and its cache lacks the tokenizer")
    return cached


def _seems_whole(cached: HubModel) -> bool:
    """Whether nothing that a chat model needs is missing in the cache. A model without a chat template lacks it on the
    hub too, or only here: the hub knows."""
    return (
        cached.folder is not None and checkpoint.has_tokenizer(cached.folder) and checkpoint.has_template(cached.folder)
    )


def _completed(cached: HubModel, model: ModelSpec, found: HubModel) -> HubModel:
    """The cache when it has all files that the hub has of its commit, else what the hub says."""
    missing = [n for n in found.files if _fetched(n, model) and not (cached.folder or Path()).joinpath(n).is_file()]
    if not missing:
        return cached
    return replace(found, download_bytes=sum(found.files[n] for n in missing))


def _cached(model: ModelSpec) -> HubModel | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        # Files that are never fetched are not missing.
        wanted = {"allow_patterns": _patterns(model), "ignore_patterns": list(IGNORED)}
        folder = Path(snapshot_download(model.source[0], revision=model.revision, local_files_only=True, **wanted))
        checkpoint.weight_files(folder, "pickle" in model.allow)
        return HubModel(folder.name, checkpoint.read_config(folder), 0, folder)
    except (LocalEntryNotFoundError, ModelError):
        return None  # absent or only partly there


def _ask(model: ModelSpec) -> HubModel:
    from huggingface_hub import HfApi, constants, hf_hub_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    name = model.source[0]
    try:
        info = HfApi().model_info(name, revision=model.revision, timeout=TIMEOUT, files_metadata=True)
        commit = str(info.sha)
        # By the name of the branch, not by the commit: only so does the cache learn which commit the branch is at,
        # and finds the model again without the hub.
        file = hf_hub_download(name, "config.json", revision=model.revision, etag_timeout=TIMEOUT)
        config = json.loads(Path(file).read_text("utf-8"))
    except GatedRepoError:
        raise ModelSkipped(
            f"{name} is gated: accept its terms on the hub and set HF_TOKEN to a token of that account"
        ) from None
    except RevisionNotFoundError:
        raise ModelError(f"{name} has no revision '{model.revision}' on the hub") from None
    except RepositoryNotFoundError:
        raise ModelError(f"{name} is not on the hub (or is private and HF_TOKEN may not read it)") from None
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise ModelSkipped(f"the hub did not answer for {name}: {first_line(error)}") from None
    sizes = {s.rfilename: s.size or 0 for s in info.siblings or []}
    download = _download_size(model, sizes)
    check_disk(download, Path(constants.HF_HUB_CACHE))
    return HubModel(commit, config, download, None, sizes)


def _download_size(model: ModelSpec, sizes: Mapping[str, int]) -> int:
    weights = [n for n in sizes if n.endswith(".safetensors") and not _ignored(n)]
    if not weights:
        pickled = [n for n in sizes if Path(n).match("*.bin") and "/" not in n]
        if not pickled:
            raise ModelError(f"{model.source[0]} has no weights that transformers can load")
        if "pickle" not in model.allow:
            raise ModelError(
                f"{model.source[0]} has only pickled weights ({pickled[0]}), which can run code when they are "
                'loaded; add allow = ["pickle"] to the entry if you trust them'
            )
        weights = pickled
    return sum(sizes[n] for n in weights)


def _fetched(name: str, model: ModelSpec) -> bool:
    return any(fnmatch(name, pattern) for pattern in _patterns(model)) and not _ignored(name)


def _patterns(model: ModelSpec) -> list[str]:
    """Names of the files that are downloaded."""
    code = ["*.py"] if "remote-code" in model.allow else []
    return [*PATTERNS, *code, *(["*.bin"] if "pickle" in model.allow else [])]


def _ignored(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in IGNORED)


def check_disk(download_bytes: int, folder: Path) -> None:
    """Raise ModelSkipped when a download does not fit where it would go. folder need not exist yet."""
    there = next(f for f in (folder, *folder.parents) if f.exists())
    free = disk_usage(there).free
    if download_bytes > free:
        raise ModelSkipped(f"its download takes {size(download_bytes)}, but only {size(free)} are free in {folder}")


def fetch(model: ModelSpec, revision: str, tell: Tell) -> Path:
    """Download what is missing of one commit and return its folder. Tells its progress, so a long
    download is not taken for a hung worker."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError

    cached = _cached(model)
    if cached is not None and cached.revision == revision:
        there = look(model).folder
        if there is not None:
            return there
    try:
        return Path(
            snapshot_download(
                model.source[0],
                revision=revision,
                allow_patterns=_patterns(model),
                ignore_patterns=list(IGNORED),
                tqdm_class=_teller(tell),
            )
        )
    except GatedRepoError:
        raise ModelSkipped(f"{model.source[0]} is gated: accept its terms on the hub and set HF_TOKEN") from None
    except (HfHubHTTPError, LocalEntryNotFoundError) as error:
        raise ModelSkipped(f"download of {model.source[0]} failed: {first_line(error)}") from None
    except OSError as error:
        raise ModelError(f"download of {model.source[0]} failed: {error}") from None


def _teller(tell: Tell) -> type:
    """A progress bar for ``snapshot_download`` that tells the bytes received instead of drawing them."""
    from tqdm import tqdm

    class Teller(tqdm):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            settings.pop("name", None)  # huggingface_hub's own, which tqdm does not know
            super().__init__(*arguments, **settings | {"mininterval": TELL_EVERY, "disable": False})

        def display(self, *arguments: Any, **settings: Any) -> None:
            if self.unit == "B" and self.n:
                tell(f"downloading, {size(int(self.n))} so far")

    return Teller


def forget(model: ModelSpec) -> int:
    """Delete this model's files from the hub's cache; returns the bytes freed."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        found = scan_cache_dir()
    except CacheNotFound:
        return 0
    commits = [r.commit_hash for repo in found.repos if repo.repo_id == model.source[0] for r in repo.revisions]
    strategy = found.delete_revisions(*commits)
    strategy.execute()
    return int(strategy.expected_freed_size)
