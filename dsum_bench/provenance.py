"""What a checkpoint that was trained here carries with it: on what, with which prompt, from which base."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from dsum_bench.errors import ModelError
from dsum_bench.spec import PromptSpec

FILE = "dsum-bench.json"
DIGITS = 16


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


def prompt_fingerprint(prompt: PromptSpec | None, prompt_format: str) -> str:
    """16 hexadecimal digits over what a prompt says, wherever it is written; names and notes do not count."""
    said = [prompt.system, prompt.user, *([e.dialogue, e.summary] for e in prompt.examples)] if prompt else []
    return _digest(json.dumps([prompt_format, *said], ensure_ascii=False))


def dialogue_digest(dialogue: str) -> str:
    """16 hexadecimal digits over a dialogue's words; spacing and line breaks do not count."""
    return _digest(" ".join(dialogue.split()))


def digests(dialogues: Iterable[str]) -> tuple[str, ...]:
    """The digests of dialogues, each once and sorted."""
    return tuple(sorted({dialogue_digest(d) for d in dialogues}))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:DIGITS]
