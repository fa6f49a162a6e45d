"""A trained model out of the results folder: found, merged in a worker where asked, with its model card."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from dsum_bench.datasets.load import load, select
from dsum_bench.errors import ModelError, UserError, first_line, suggestion
from dsum_bench.executors.base import JobEnded, events_of
from dsum_bench.executors.local import Local
from dsum_bench.machine import detect
from dsum_bench.plugins import Plugins
from dsum_bench.provenance import FILE as RECORD
from dsum_bench.provenance import read
from dsum_bench.registry.load import Registry
from dsum_bench.registry.trained import result_folder
from dsum_bench.spec import DatasetSpec, ModelSpec
from dsum_bench.store.training import scores_of
from dsum_bench.training.card import card
from dsum_bench.training.config import FILE as OPTIONS
from dsum_bench.training.export import TEXTS, MergeDone, MergeJob, copy

if TYPE_CHECKING:
    from dsum_bench.training.gguf_file import GgufType

Tell = Callable[[str], None]


def export(
    name: str,
    output: Path,
    registry: Registry,
    plugins: Plugins,
    database: Path,
    dataset: str,
    tell: Tell,
    gguf: GgufType | None = None,
) -> None:
    """Write the trained model ``BASE@RUN`` to a new folder, with a model card.

    dataset: dialogues on which merged weights are tried; '' exports the adapter as it is.
    gguf: write the whole weights as one file of this type instead of safetensors.

    Raises:
        UserError: there is no such model, the folder is not empty, or the weights cannot be written.
    """
    spec = registry.models.get(name)
    if spec is None or spec.base is None:
        trained = [known for known, found in registry.models.items() if found.base]
        raise UserError(f"no trained model '{name}' in {database.parent}{suggestion(name, trained)}")
    if output.exists() and any(output.iterdir()):
        raise UserError(f"{output} is not empty; choose a new folder")
    folder = result_folder(database.parent, name)
    made = read(folder)
    assert made is not None, "the entry was made from it"
    try:
        if dataset and spec.peft is not None:
            _merge_in_worker(spec, registry.dataset(dataset), plugins, output, database, tell)
        else:
            copy(folder, output)
        if (folder / OPTIONS).is_file():
            shutil.copy(folder / OPTIONS, output / OPTIONS)
        text = card(spec, made, scores_of(database, name), output)
        (output / "README.md").write_text(text, encoding="utf-8")
        if gguf is not None:
            tell(f"writing {gguf_name(name, gguf)}")
            _to_gguf(output, gguf_name(name, gguf), gguf)
    except (ModelError, OSError) as error:
        raise UserError(f"{name} cannot be exported: {error}") from None


def gguf_name(model: str, kind: str) -> str:
    """The file name of a model in GGUF."""
    return f"{model.replace('@', '-')}.{kind}.gguf"


def _to_gguf(folder: Path, name: str, kind: GgufType) -> None:
    """Put one GGUF file in the place of all that transformers would read; the model card and the records stay."""
    from dsum_bench.training.gguf_file import write

    write(folder, folder / name, kind)
    for file in folder.iterdir():
        if file.name not in (name, "README.md", OPTIONS, RECORD):
            file.unlink()


def check_push(repo: str) -> None:
    """Find out before any work whether a folder could be pushed.

    Raises:
        UserError: the name is none, nobody is logged in, or the hub does not answer.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo)
        if repo.count("/") != 1:
            raise HFValidationError
    except HFValidationError:
        raise UserError(f"--push {repo}: write it as OWNER/NAME") from None
    if get_token() is None:
        raise UserError("--push: nobody is logged in to the hub; run `hf auth login`, or set HF_TOKEN")
    try:
        HfApi().whoami()
    except Exception as error:
        raise UserError(f"--push: the hub does not take the token, or is not there: {first_line(error)}") from None


def push(folder: Path, repo: str, public: bool) -> str:
    """Upload a folder as a model of the hub, private unless it is to be public. The token is huggingface_hub's own.

    Returns: its address.

    Raises:
        UserError: the hub refuses.
    """
    from huggingface_hub import HfApi

    try:
        api = HfApi()
        address = api.create_repo(repo, private=not public, exist_ok=True)
        api.upload_folder(repo_id=repo, folder_path=folder, commit_message="Upload a model trained with dsum-bench")
    except Exception as error:
        raise UserError(f"{repo} cannot be pushed: {first_line(error)}; {folder} is complete") from None
    return str(address)


def _merge_in_worker(
    spec: ModelSpec, data: DatasetSpec, plugins: Plugins, output: Path, database: Path, tell: Tell
) -> None:
    samples = select(load(data, plugins, data.default_split), TEXTS, None, 0).samples
    plan = plugins.engines[spec.engine].plan(spec, detect(), 1)
    log = str(database.parent.resolve() / "logs" / f"{spec.name}-merge.log")
    texts = tuple(s.dialogue for s in samples)
    job = MergeJob(spec.name, spec, plan.placement, texts, output.resolve(), log, plugins.settings)
    for event in events_of(Local(), [job]):
        if isinstance(event, MergeDone):
            tell(f"merged: {event.different} of {event.total} outputs differ from those of the adapter")
        elif isinstance(event, JobEnded) and event.reason:
            raise ModelError(event.reason)
