"""Characters that a text should not hold: what is repaired where text enters, and what is only pointed out.

Metrics score a text exactly as it is given, so nothing is normalised for them. Removed are NUL, at which Mecab stops
reading, and the byte order mark, which a file joined from others has inside a field: neither is ever part of a text.
"""

from __future__ import annotations

import re
import unicodedata

NUL = "\0"
BOM = "\ufeff"
ACCIDENTS = {NUL: "NUL", BOM: "byte order mark"}
_ACCIDENT = re.compile(f"[{NUL}{BOM}]")

INVISIBLE = frozenset(
    "\u00ad\u034f\u061c\u115f\u1160\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
    "\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\u3164\uffa0\ufeff"
)
"""Zero-width spaces and joiners, direction marks, soft hyphens and Hangul fillers."""
JOINER = "\u200d"
FULL_WIDTH = range(0xFF01, 0xFF5F)
OFFSET = 0xFEE0
"""From a full-width character of the ASCII block to its usual form (Unicode, Halfwidth and Fullwidth Forms)."""
_CODED = re.compile(r"[\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\uff03]")
"""Full-width digits, Latin letters and ``#``, which are other tokens than their usual forms. Full-width punctuation is
common in Korean text and left alone."""

KINDS = ("not NFC", "invisible characters", "full-width digits or letters", "lone surrogates")


def repaired(text: str) -> str:
    """text without NUL and byte order marks."""
    return _ACCIDENT.sub("", text) if _ACCIDENT.search(text) else text


def accidents(text: str) -> tuple[str, ...]:
    """Names of the characters that ``repaired`` takes out of a text, each once."""
    return tuple(name for character, name in ACCIDENTS.items() if character in text)


def oddities(text: str) -> tuple[str, ...]:
    """Those of KINDS that a text has. An emoji may be joined of several: its joiners are not unusual."""
    if text.isascii():
        return ()
    found = (
        not unicodedata.is_normalized("NFC", text),
        any(_is_invisible(text, i) for i, c in enumerate(text) if c in INVISIBLE),
        bool(_CODED.search(text)),
        any("\ud800" <= c <= "\udfff" for c in text),
    )
    return tuple(kind for kind, there in zip(KINDS, found, strict=True) if there)


def _is_invisible(text: str, at: int) -> bool:
    """Whether the character there is not the joiner of an emoji."""
    before = text[max(0, at - 4) : at].rstrip("\ufe0f")[-1:]
    return text[at] != JOINER or not (before and unicodedata.category(before) in ("So", "Sk"))


def visible(text: str) -> str:
    """text with invisible and control characters written as escapes, for messages."""
    return "".join(c if c.isprintable() and c not in INVISIBLE else c.encode("unicode_escape").decode() for c in text)


def canonical_text(text: str) -> str:
    """text as it is compared: NFC, nothing invisible, full-width characters in their usual form, white space as
    single spaces. Two texts that look alike to a reader become equal; an ordinary text changes its white space only."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
        text = "".join(_usual(c) for c in text if c not in INVISIBLE)
    return " ".join(text.replace(NUL, "").split())


def _usual(character: str) -> str:
    return chr(ord(character) - OFFSET) if ord(character) in FULL_WIDTH else character
