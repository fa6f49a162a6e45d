"""What all adapters share whose model reads tokens: trimming, decoding, end tokens."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

from dsum_bench.adapters.base import Adapter
from dsum_bench.adapters.fields import values
from dsum_bench.adapters.markers import GUARD, Markers, guarded, ids_of
from dsum_bench.adapters.parsing import clean, control_ids, until
from dsum_bench.adapters.prompts import NOTHING, PLACE, fill
from dsum_bench.dialogue import TrimmedDialogue, split_turns, trim
from dsum_bench.errors import ModelError
from dsum_bench.spec import Example, Generation, Prompt, Sample

Encoded = tuple[str, list[int]]
"""A prompt as text with its control tokens visible, and as token ids."""


class TextAdapter(Adapter):
    """A model with a tokenizer.

    ends: texts of tokens that end an output, where the vocabulary has them.
    always_bos: whether a prompt begins with BOS even where the tokenizer puts none before a text.
    """

    ends: ClassVar[tuple[str, ...]] = ()
    always_bos: ClassVar[bool] = False
    _values: Mapping[str, str] = NOTHING
    """The fields of the sample whose prompt is being made."""
    _chosen: tuple[Example, ...] = ()
    """The examples that were chosen for it, as far as there is room for them."""

    @abstractmethod
    def encode(self, dialogue: str) -> Encoded:
        """The whole prompt for a dialogue, however long it gets.

        Control tokens that the dialogue spells out have a ``markers.GUARD`` inside; ``plain_ids`` makes words of them.
        What is put around it goes through ``filled`` and ``filled_example``.
        """

    def filled(self, text: str, dialogue: str = PLACE) -> str:
        """A prompt's text with the dialogue and the sample's fields in their places."""
        return fill(text, dialogue, self._values)

    def filled_example(self, text: str, example: Example) -> str:
        """A prompt's text with a worked example's dialogue and fields in their places."""
        sample = Sample("", example.dialogue, fields=example.fields)
        return fill(text, self.as_words(example.dialogue), self._fields(sample))

    def _fields(self, sample: Sample) -> dict[str, str]:
        rule = self.context.prompt.length if self.context.prompt is not None else None
        return {name: self.as_words(value) for name, value in values(self.places, sample, rule).items()}

    @property
    def examples(self) -> tuple[Example, ...]:
        """The worked examples of the prompt that is being made: the fixed ones, then those chosen for its sample."""
        fixed = self.context.prompt.examples if self.context.prompt is not None else ()
        return (*fixed, *self._chosen)

    def prompt(self, sample: Sample) -> Prompt:
        self._values = self._fields(sample)
        self._chosen = self._that_fit(sample)
        turns = split_turns(sample.dialogue, sample.turns)
        made: dict[str, Encoded] = {}

        def fits(dialogue: str) -> bool:
            made.clear()
            made[dialogue] = self.encode(self.as_words(dialogue))
            limit = self.context.max_prompt_tokens
            return limit is None or len(made[dialogue][1]) <= limit

        trimmed = self._trim(sample, turns, fits)
        text, ids = made.get(trimmed.dialogue) or self.encode(self.as_words(trimmed.dialogue))
        text, turned = text.replace(GUARD, ""), len(turns)
        return Prompt(
            sample.id,
            text,
            tuple(ids),
            turned,
            trimmed.trimmed_turns,
            trimmed.trimmed_chars,
            sample.dialogue,
            tuple(e.id for e in self._chosen),
        )

    def _that_fit(self, sample: Sample) -> tuple[Example, ...]:
        """The chosen examples that the prompt has room for beside the whole dialogue, within their own budget; those
        least like the sample, which come first, go first."""
        if not sample.examples:
            return ()

        def tokens(examples: tuple[Example, ...]) -> int:
            self._chosen = examples
            return len(self.encode(self.as_words(sample.dialogue))[1])

        choice = self.context.prompt.choose if self.context.prompt is not None else None
        budget = choice.tokens if choice is not None else None
        limit, bare = self.context.max_prompt_tokens, tokens(())
        for dropped in range(len(sample.examples)):
            kept = sample.examples[dropped:]
            needed = tokens(kept)
            if (limit is None or needed <= limit) and (budget is None or needed - bare <= budget):
                return kept
        return ()

    def _trim(self, sample: Sample, turns: Sequence[str], fits: Any) -> TrimmedDialogue:
        try:
            # As it stands, not joined again of its turns, which may have other line breaks between them.
            return TrimmedDialogue(sample.dialogue) if fits(sample.dialogue) else trim(turns, fits, sample.turns)
        except ModelError as error:
            bare = len(self.encode("")[1])
            raise ModelError(
                f"{error}: its prompt takes {bare} tokens without a dialogue, and there is room for "
                f"{self.context.max_prompt_tokens}; shorten the prompt or raise max_prompt_tokens"
            ) from None

    def parse(self, generation: Generation) -> str:
        text = generation.text
        if generation.finish == "length":
            text = text.rstrip("\ufffd")  # the last character was cut between its bytes
        return clean(self.summary(until(text, self.end_texts())))

    def summary(self, text: str) -> str:
        """The part of an output that is the summary, its line breaks still there."""
        return text

    def target(self, summary: str) -> tuple[int, ...]:
        return (*self.plain_ids(self.as_words(summary)), self.end_of_target())

    def end_of_target(self) -> int:
        """Id of the token that ends a summary in training."""
        if self.tokenizer.eos_token_id is None:
            raise ModelError(
                "its tokenizer has no end-of-sequence token (eos_token), so a trained model would never stop"
            )
        return int(self.tokenizer.eos_token_id)

    def end_texts(self) -> tuple[str, ...]:
        """Texts at which an output ends."""
        return self.ends

    def end_ids(self) -> tuple[int, ...]:
        return tuple(i for i in map(self.token_id, self.end_texts()) if i is not None)

    def decode(self, token_ids: Sequence[int]) -> str:
        kept = [i for i in token_ids if i not in self._control_ids]
        text: str = self.tokenizer.decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return text

    @cached_property
    def _control_ids(self) -> frozenset[int]:
        return control_ids(self.tokenizer)

    # -- for families -----------------------------------------------------------------------------------------

    def plain_ids(self, text: str) -> list[int]:
        """Ids of a text with nothing put around it; control tokens spelled out in it become single tokens, but for
        those that ``as_words`` has guarded."""
        return ids_of(self.tokenizer, text, self._markers)

    def as_words(self, text: str) -> str:
        """A text from data, in which a control token that is spelled out stays words."""
        return guarded(text, self._markers) if self.tokenizer is not None else text

    @cached_property
    def _markers(self) -> Markers:
        return Markers(self.tokenizer)

    def token_id(self, token: str) -> int | None:
        """Id of a single token, None when the vocabulary lacks it."""
        found = self.tokenizer.convert_tokens_to_ids(token)
        if found is None or self.tokenizer.convert_ids_to_tokens(found) != token:
            return None
        return int(found)

    @cached_property
    def bos_id(self) -> int | None:
        """Id of the token a plain text begins with, None where this tokenizer puts none before a text."""
        bos: int | None = self.tokenizer.bos_token_id
        wanted = bos is not None and (self.always_bos or self.tokenizer("x")["input_ids"][:1] == [bos])
        return bos if wanted else None

    def with_bos(self, text: str) -> Encoded:
        """A text and its ids with BOS before it, where there is to be one."""
        ids = self.plain_ids(text)
        if self.bos_id is None:
            return text, ids
        return f"{self.tokenizer.bos_token}{text}", [self.bos_id, *ids]
