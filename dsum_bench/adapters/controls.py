"""Controls: answers without any model. A model that does not beat them has not read the dialogue."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dsum_bench.adapters.base import Adapter
from dsum_bench.adapters.parsing import clean
from dsum_bench.dialogue import split_turns
from dsum_bench.errors import ModelError
from dsum_bench.spec import Generation, Prompt, PromptSpec, Sample


class ControlAdapter(Adapter):
    """Answers from the turns of the dialogue; the answer stands in ``Prompt.text``."""

    architecture = "none"
    prompt_style = "none"

    @classmethod
    def fields(cls, prompt: PromptSpec | None, options: Any) -> tuple[str, ...]:
        return ()

    @abstractmethod
    def answer(self, turns: Sequence[str]) -> str:
        """The summary."""

    def prompt(self, sample: Sample) -> Prompt:
        turns = split_turns(sample.dialogue, sample.turns)
        return Prompt(sample.id, self.answer(turns), turns=len(turns))

    def parse(self, generation: Generation) -> str:
        return generation.text


@dataclass(frozen=True, slots=True)
class ConstantOptions:
    """text: the answer to every dialogue."""

    text: str


class ConstantAdapter(ControlAdapter):
    """The same sentence for every dialogue."""

    name = "constant"
    Options = ConstantOptions

    def answer(self, turns: Sequence[str]) -> str:
        text: str = self.options.text
        return text


@dataclass(frozen=True, slots=True)
class ConstantFitOptions:
    """split: whose references are tried. candidates: how many of them; others: how many they are scored against."""

    split: str = "train"
    candidates: int = 200
    others: int = 100

    def __post_init__(self) -> None:
        for name, value in (("candidates", self.candidates), ("others", self.others)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")


class ConstantFitAdapter(ControlAdapter):
    """The one training summary that fits the others best, for every dialogue. It is chosen before the sweep, whose runs
    then have the adapter ``constant`` with that sentence."""

    name = "constant-fit"
    Options = ConstantFitOptions

    def answer(self, turns: Sequence[str]) -> str:
        raise ModelError("its sentence has not been chosen: screen it with a dataset that has a training split")


@dataclass(frozen=True, slots=True)
class TurnsOptions:
    """turns: how many turns make the answer."""

    turns: int = 3

    def __post_init__(self) -> None:
        if self.turns < 1:
            raise ValueError(f"turns must be at least 1, not {self.turns}")


def joined(turns: Sequence[str]) -> str:
    """Turns on one line, their speakers kept: the form in which LEAD-3 has its published score."""
    return " ".join(map(clean, turns))


class LeadAdapter(ControlAdapter):
    """The first turns of the dialogue."""

    name = "lead"
    Options = TurnsOptions

    def answer(self, turns: Sequence[str]) -> str:
        return joined(turns[: self.options.turns])


class LongestAdapter(ControlAdapter):
    """The longest turns, counted in characters without the space around them, in the order of the dialogue; of two
    equal ones the earlier."""

    name = "longest"
    Options = TurnsOptions

    def answer(self, turns: Sequence[str]) -> str:
        by_length = sorted(range(len(turns)), key=lambda i: -len(clean(turns[i])))
        return joined([turns[i] for i in sorted(by_length[: self.options.turns])])
