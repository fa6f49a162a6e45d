"""What a checkpoint that was trained here carries with it: on what, with which prompt, from which base."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from dsum_bench.errors import ModelError

FILE = "dsum-bench.json"


@dataclass(frozen=True, slots=True)
class Provenance:
    """The record beside the weights of a trained model.

    run_id: key of the training run. base: name of the model that was trained; base_weights: its fingerprint.
    adapter, prompt: how its training texts were built, the prompt as ``prompt_fingerprint`` has it.
    dataset, split: what it was trained on; dialogues: ``dialogue_digest`` of every training dialogue.
    """

    run_id: str
    base: str
    base_weights: str
    adapter: str
    prompt: str
    dataset: str
    split: str
    dialogues: tuple[str, ...] = ()
    recipe: Mapping[str, object] = field(default_factory=dict)


def write(folder: Path, provenance: Provenance) -> None:
    """Put the record beside the weights."""
    text = json.dumps(asdict(provenance), ensure_ascii=False, indent=1)
    (folder / FILE).write_text(text + "\n", encoding="utf-8")


def read(folder: Path) -> Provenance | None:
    """The record of a checkpoint, None where there is none.

    Raises:
        ModelError: there is one that cannot be read.
    """
    file = folder / FILE
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return Provenance(**{**found, "dialogues": tuple(found["dialogues"])})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{file} cannot be read: {error}") from None
