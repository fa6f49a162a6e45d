"""The adapter ``solar``: SOLAR 10.7B, a deepened Llama with ``### User:`` headers."""

from __future__ import annotations

import re

from dsum_bench.adapters.chat import ChatAdapter

HEADER = re.compile(r"\n\s*### ")


class SolarAdapter(ChatAdapter):
    """Its headers are plain text and not control tokens, so the model may go on and play the user's part."""

    name = "solar"
    family = re.compile("llama|solar")
    ends = ("</s>",)

    def summary(self, text: str) -> str:
        return HEADER.split(super().summary(text).lstrip(), maxsplit=1)[0]
