"""What a decoding strategy is: how the next token is chosen."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from dsum_bench.spec import Sample

if TYPE_CHECKING:
    from transformers import LogitsProcessor


@dataclass(frozen=True, slots=True)
class Batch:
    """What a strategy may know of the batch it decodes.

    sample_ids: one per prompt; the model's rows are these, each repeated once per beam.
    prompt_width: length of the (padded) sequence the first new token is appended to; 1 for an
        encoder-decoder, whose sequence begins with its start token.
    tag_ids: token ids that occur in speaker tags and masks (``#Person1#``).
    dialogues: what is summarised, one per prompt.
    end_ids: ids that end an output. tokenizer: the model's.
    """

    sample_ids: tuple[str, ...]
    prompt_width: int
    tag_ids: frozenset[int]
    dialogues: tuple[str, ...] = ()
    end_ids: tuple[int, ...] = ()
    tokenizer: Any = None

    def keep(self, rows: Sequence[int]) -> Batch:
        """The batch of these prompts alone."""
        names, dialogues = (tuple(t[i] for i in rows) for t in (self.sample_ids, self.dialogues))
        return replace(self, sample_ids=names, dialogues=dialogues)


class Decoding(ABC):
    """A strategy with its parameters.

    Params: a frozen dataclass; the keys, types and defaults of a ``[decodings.NAME]`` entry. It has at
        least ``max_new_tokens``.
    beams: sequences kept per prompt, which an engine's memory depends on.
    continues: whether new processors may take an output up in the middle. They must then depend on nothing but the
        tokens so far and the sample; an engine may drop rows that have ended and continue with the others.
    """

    name: ClassVar[str]
    Params: ClassVar[type]
    continues: ClassVar[bool] = False

    def __init__(self, params: Any, seed: int = 42) -> None:
        self.params = params
        self.seed = seed

    @property
    def beams(self) -> int:
        """Sequences kept per prompt."""
        return 1

    @property
    def candidates(self) -> int:
        """Outputs written for each prompt, one at a time: the first is the run's, the others are kept beside it. Of
        one prompt each has a sample id of its own in the batch."""
        return 1

    @abstractmethod
    def config(self) -> Mapping[str, object]:
        """Fields of transformers' GenerationConfig."""

    def processors(self, batch: Batch) -> list[LogitsProcessor]:
        """Logits processors for one batch, applied in order after those of ``config``."""
        return []

    def forbids(self, text: str, sample: Sample, tokenizer: Any) -> str:
        """The characters of text that no output for this sample may hold, each once; '' when it can be written."""
        return ""
