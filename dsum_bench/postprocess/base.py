"""What a postprocessor is, and how several are applied."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from dsum_bench.errors import UserError, plugin_code
from dsum_bench.spec import Sample


class Postprocessor(ABC):
    """One step that changes a finished summary.

    name: what the ``steps`` of a ``[postprocess.NAME]`` entry call it.
    version: part of a run's key; raise it when the same summary can become another one.

    It is never shown the references. Applied to its own result it must change nothing.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1

    @abstractmethod
    def __call__(self, summary: str, sample: Sample) -> str:
        """The summary as it should be. sample: its dialogue, without references."""


ROUNDS = 10


def apply(steps: Sequence[Postprocessor], summary: str, sample: Sample) -> list[str]:
    """The summary after each of the steps; the last is the result.

    A step that would leave nothing of a summary is left out for that summary. All steps are applied again until they
    change nothing more (a cut may bare what an earlier step takes away); what that changes counts for the last step.

    Raises:
        UserError: a step failed or gave no string; says which and on which sample.
    """
    shown = replace(sample, references=())
    first = _round(steps, summary, shown)
    settled = first[-1]
    for _ in range(ROUNDS):
        again = _round(steps, settled, shown)[-1]
        if again == settled:
            break
        settled = again
    return [*first[:-1], settled]


def _round(steps: Sequence[Postprocessor], summary: str, sample: Sample) -> list[str]:
    texts = []
    for step in steps:
        made = _made(step, summary, sample)
        summary = made if made.strip() or not summary.strip() else summary
        texts.append(summary)
    return texts


def _made(step: Postprocessor, summary: str, sample: Sample) -> str:
    where = f"postprocessor '{step.name}', sample '{sample.id}'"
    try:
        with plugin_code():
            made = step(summary, sample)
    except Exception as error:  # a step may be a plugin
        raise UserError(f"{where}: {type(error).__name__}: {error}") from error
    if not isinstance(made, str):
        raise UserError(f"{where}: it gave {type(made).__name__} instead of a string")
    return made
