"""What an adapter is: how one model family is prompted, and how its output is read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from dsum_bench.adapters.prompts import places
from dsum_bench.errors import ModelError
from dsum_bench.spec import Generation, ModelSpec, Prompt, PromptFormat, PromptSpec, Sample

Architecture = Literal["decoder", "encoder_decoder", "none"]
PromptStyle = Literal["chat", "completion", "none"]


@dataclass(frozen=True, slots=True)
class NoOptions:
    """For adapters without settings of their own."""


@dataclass(frozen=True, slots=True)
class AdapterContext:
    """What an adapter works with.

    tokenizer: the model's own transformers tokenizer, None for a control.
    max_prompt_tokens: room for the prompt, the new tokens already taken off; None when unbounded.
    language: of the dialogues, ``ko`` or ``en``.
    """

    model: ModelSpec
    prompt: PromptSpec | None
    prompt_format: PromptFormat
    language: str
    tokenizer: Any = None
    max_prompt_tokens: int | None = None


class Adapter(ABC):
    """One model family.

    architecture: what kind of network it is for; ``none`` for controls.
    prompt_style: which of the registry's prompts it takes when the model names none.
    Options: frozen dataclass of the keys allowed in a model's ``options`` table.
    places: names of the fields that its prompts take from each sample.
    """

    name: ClassVar[str]
    architecture: ClassVar[Architecture]
    prompt_style: ClassVar[PromptStyle]
    Options: ClassVar[type] = NoOptions

    def __init__(self, context: AdapterContext, options: Any) -> None:
        self.context = context
        self.options = options
        self.tokenizer = context.tokenizer
        self.places = self.fields(context.prompt, options)

    @classmethod
    def fields(cls, prompt: PromptSpec | None, options: Any) -> tuple[str, ...]:
        """Names of the fields that its prompts have places for, beside the dialogue."""
        return places(prompt.system, prompt.user) if prompt is not None else ()

    @classmethod
    def refuses(cls, config: Mapping[str, Any]) -> str | None:
        """Why a checkpoint with this ``config.json`` is not for this adapter; None when it is."""
        return None

    @abstractmethod
    def prompt(self, sample: Sample) -> Prompt:
        """The prompt for one sample, trimmed by whole turns to the room there is.

        Raises:
            ModelError: when even the empty prompt does not fit.
        """

    @abstractmethod
    def parse(self, generation: Generation) -> str:
        """The summary in an output. Speaker tags stay; an output without a summary gives ''."""

    def target(self, summary: str) -> tuple[int, ...]:
        """Token ids of a summary as the model should write it after the prompt, its end token included.

        Raises:
            ModelError: nothing says how an output of this model ends.
        """
        raise ModelError(f"adapter '{self.name}' has no outputs to be trained on")

    def end_ids(self) -> tuple[int, ...]:
        """Token ids that end an output, besides those the checkpoint's configuration names."""
        return ()

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of an output without its end token. Only control tokens are dropped."""
        return ""

    def generate_arguments(self) -> Mapping[str, object]:
        """Extra fields for transformers' GenerationConfig (an mBART target language, say)."""
        return {}
