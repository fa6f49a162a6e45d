"""The adapter ``completion``: base models, which continue a text instead of answering."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from dsum_bench.adapters.base import AdapterContext
from dsum_bench.adapters.families import not_a_decoder
from dsum_bench.adapters.prompts import NAMED, PLACE
from dsum_bench.adapters.text import Encoded, TextAdapter
from dsum_bench.errors import ModelError
from dsum_bench.spec import Example

BLANK_LINE = re.compile(r"\n[ \t]*\n")


class CompletionAdapter(TextAdapter):
    """A text with worked examples that ends where the summary belongs."""

    name = "completion"
    architecture = "decoder"
    prompt_style = "completion"

    def __init__(self, context: AdapterContext, options: Any) -> None:
        super().__init__(context, options)
        if context.prompt is None:
            raise ModelError(f"adapter '{self.name}' needs a prompt")
        self.asked = context.prompt

    @classmethod
    def refuses(cls, config: Mapping[str, Any]) -> str | None:
        return not_a_decoder(config)

    def encode(self, dialogue: str) -> Encoded:
        parts = [self.filled(self.asked.system)] if self.asked.system else []
        parts += [self._answered(example) for example in self.examples]
        return self.with_bos("\n\n".join([*parts, self.filled(self.asked.user, dialogue)]))

    def _answered(self, example: Example) -> str:
        return f"{self.filled_example(self.asked.user, example)}{self._gap}{self.as_words(example.summary)}"

    @property
    def _gap(self) -> str:
        # A cue such as '요약:' has its answer on the same line; tokens then split as they do in ordinary text.
        return " " if self.asked.user.partition(PLACE)[2].strip() else "\n"

    def target(self, summary: str) -> tuple[int, ...]:
        return super().target(f"{self._gap}{summary}")

    def end_ids(self) -> tuple[int, ...]:
        """The tokens that are blank lines: what comes after one is another example, which nobody reads."""
        lines = (self.plain_ids("\n" * count) for count in (2, 3, 4))
        return tuple(ids[0] for ids in lines if len(ids) == 1)

    def summary(self, text: str) -> str:
        """The first paragraph, up to where the model begins another example."""
        paragraph = BLANK_LINE.split(text.strip(), maxsplit=1)[0]
        return self._another.split(paragraph, maxsplit=1)[0]

    @cached_property
    def _another(self) -> re.Pattern[str]:
        """Matches a later line that begins like the prompt: with its cue, or with its opening words."""
        before, _, after = self.asked.user.partition(PLACE)
        marks = [*before.strip().splitlines()[:1], *after.strip().splitlines()[-1:]]
        # What a field puts in differs from example to example.
        patterns = [".*?".join(map(re.escape, _literal(mark.strip()))) for mark in marks if any(_literal(mark.strip()))]
        return re.compile("|".join(rf"\n\s*{pattern}" for pattern in patterns) or r"(?!)")


def _literal(text: str) -> list[str]:
    """What stands between the places of a text."""
    parts = NAMED.split(text)
    return parts[::3]
