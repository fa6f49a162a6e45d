"""How much of a summary is scored, and how long a word may get: no output may take minutes."""

from __future__ import annotations

import re

LONGEST_SUMMARY = 100_000
"""Characters of a summary that metrics are given. Long meetings are summarised in some thousands."""
LONGEST_WORD = 1_000
"""Characters without white space that are given to a morphological analyser at once. The time of all of them grows with
the square of this: 100,000 characters without a space take 4.5 s in one piece and 0.15 s in pieces of 1,000."""


def scored_part(summary: str) -> str:
    """What metrics see of a summary: all of it, up to LONGEST_SUMMARY characters."""
    return summary[:LONGEST_SUMMARY]


def broken(text: str) -> str:
    """text with a space put into every stretch of more than LONGEST_WORD characters that has none; any other text as
    it is, so that its tokens are those of the analyser."""
    if len(text) <= LONGEST_WORD:
        return text
    return re.sub(r"\S+", _pieces, text)


def _pieces(word: re.Match[str]) -> str:
    text = word.group()
    return " ".join(text[i : i + LONGEST_WORD] for i in range(0, len(text), LONGEST_WORD))
