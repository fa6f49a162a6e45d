"""Strings that came from outside, made safe to look at."""

from __future__ import annotations

import re

UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, and the ones that turn the direction of writing: they would change what stands around them."""


def visible(text: str, limit: int | None = None) -> str:
    """text with every control character as U+FFFD, on one line and cut to ``limit`` characters where one is given."""
    shown = UNSEEN.sub("\N{REPLACEMENT CHARACTER}", text)
    if limit is None:
        return shown
    shown = " ".join(shown.split())
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"
