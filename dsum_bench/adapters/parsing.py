"""Reading outputs. What a model wrote is tidied, never improved: a metric must see the flaws."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from dsum_bench.dialogue import MASK

THINK = ("<think>", "</think>")
_THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)


def clean(text: str) -> str:
    """text on one line, without the space around it. Quotation marks and headings such as ``요약:`` stay."""
    lines = (line.strip() for line in re.split(r"[\n\r]", text))
    return " ".join(line for line in lines if line)


def without_thoughts(text: str) -> str:
    """text without ``<think>`` blocks. One that is never closed reaches to the end; where only the closing mark
    is there, the block was opened in the prompt."""
    text = _THOUGHT.sub("", text)
    return text.rpartition(THINK[1])[2]


def until(text: str, marks: Sequence[str]) -> str:
    """text before the first of the marks."""
    for mark in marks:
        text = text.partition(mark)[0]
    return text


def control_ids(tokenizer: Any) -> frozenset[int]:
    """Ids of the tokens that are not text: those the tokenizer calls special, without speaker tags and masks.

    A tokenizer that was given ``#Person1#`` as a special token would drop it from every output; marks of
    thinking stay too, since without them thoughts could not be told from the summary.
    """
    special = {int(i) for i in tokenizer.all_special_ids}
    special |= {int(i) for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    texts = tokenizer.convert_ids_to_tokens(sorted(special))
    return frozenset(
        i for i, text in zip(sorted(special), texts, strict=True) if text not in THINK and not MASK.fullmatch(text)
    )
