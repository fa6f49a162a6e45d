"""A trained model as a folder for others: adapter or merged weights, with a model card. Torch only in its worker."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from dsum_bench.engines.base import TrainableEngine
from dsum_bench.errors import ModelError
from dsum_bench.executors.base import Progress
from dsum_bench.plugins import Plugins
from dsum_bench.spec import ModelSpec, Placement, PluginSettings
from dsum_bench.training.saving import GENERATION

TEXTS = 8
NEW_TOKENS = 48


@dataclass(frozen=True, slots=True)
class MergeJob:
    """A merge for a worker: model is the trained entry, texts what it is tried on, out the new folder."""

    entry: ClassVar[str] = "dsum_bench.training.export:merge"

    id: str
    model: ModelSpec
    placement: Placement
    texts: tuple[str, ...]
    out: Path
    log: str
    plugins: PluginSettings = field(default_factory=PluginSettings)


@dataclass(frozen=True, slots=True)
class MergeDone:
    """How many of the texts were gone on with differently after merging."""

    job: str
    different: int
    total: int


def merge(job: MergeJob, emit: Callable[[Any], None]) -> None:
    """Add the adapter to its base's weights, compare what both write, and save them as safetensors."""
    engine = Plugins(job.plugins).get("engine", job.model.engine)(job.model, job.placement)
    assert isinstance(engine, TrainableEngine), "what was trained is loaded by the engine that it was trained with"
    loaded = engine.prepare(lambda text: emit(Progress(job.id, text)))
    engine.load(lambda text: emit(Progress(job.id, text)))
    before = [_written(engine, text) for text in job.texts]
    engine.network = engine.network.merge_and_unload()
    after = [_written(engine, text) for text in job.texts]
    engine.network.save_pretrained(job.out)
    loaded.tokenizer.save_pretrained(job.out)
    # That of the adapter knows which tokens end a summary; adapters of 0.1.0 have none.
    for folder in (Path(job.model.peft or ""), engine.folder):
        if (folder / GENERATION).is_file():
            shutil.copy(folder / GENERATION, job.out / GENERATION)
            break
    emit(MergeDone(job.id, sum(a != b for a, b in zip(before, after, strict=True)), len(before)))


def _written(engine: Any, text: str) -> list[int]:
    import torch

    ids = engine.tokenizer(text, return_tensors="pt").to(engine.network.device)
    ids = {name: ids[name] for name in ("input_ids", "attention_mask")}
    with torch.inference_mode():
        written: list[int] = engine.network.generate(
            **ids, max_new_tokens=NEW_TOKENS, do_sample=False, pad_token_id=engine.tokenizer.pad_token_id or 0
        )[0].tolist()
    return written


def copy(folder: Path, out: Path) -> None:
    """The result as it is.

    Raises:
        ModelError: it cannot be written.
    """
    try:
        shutil.copytree(folder, out, dirs_exist_ok=True)
    except OSError as error:
        raise ModelError(f"{out} cannot be written: {error.strerror or error}") from error
