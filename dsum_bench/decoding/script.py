"""Which characters an output may hold when a script is asked for, and what is excepted. Pure functions."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

from dsum_bench.dialogue import TAG

SCRIPTS = ("hangul",)
SPEAKERS = tuple(f"#Person{n}#" for n in range(1, 10))
NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9&'’.+@_/-]*[A-Za-z0-9])?")
"""A word of Latin letters, such as a name, an abbreviation or an address, without the punctuation around it."""
BLOCKS = ((0x1100, 0x1200), (0x3131, 0x318F), (0xA960, 0xA980), (0xAC00, 0xD7A4), (0xD7B0, 0xD800))
"""Hangul letters and syllables, the older ones too (Unicode 16; end excluded)."""


BROKEN = "\ufffc\ufffd"
"""Symbols that stand for something that was lost."""


def is_hangul_text(character: str) -> bool:
    """Whether a character belongs to Korean text that has no other script in it: Hangul, ASCII digits, punctuation,
    symbols, spaces and line breaks.

    What a character stands for counts (Unicode's form NFKC): ``㈜`` is Hangul, ``㎏`` and ``Ａ`` are Latin letters.
    """
    return character == "\n" or all(_plain(c) for c in unicodedata.normalize("NFKC", character))


def _plain(character: str) -> bool:
    if "0" <= character <= "9":
        return True
    point = ord(character)
    if any(start <= point < end for start, end in BLOCKS):
        return unicodedata.category(character)[0] == "L"
    category = unicodedata.category(character)
    return (category[0] in "PS" and character not in BROKEN) or category == "Zs"


@lru_cache(maxsize=1)
def hangul_characters() -> tuple[str, ...]:
    """All characters for which ``is_hangul_text`` holds, in order."""
    seen = []
    for point in range(0x110000):
        category = unicodedata.category(chr(point))
        if point == 10 or (category[0] in "PSLZN" and category != "Cs" and is_hangul_text(chr(point))):
            seen.append(chr(point))
    return tuple(seen)


def exceptions(dialogue: str, literals: Sequence[str], copy_names: bool) -> tuple[str, ...]:
    """Texts that an output may hold although their characters are forbidden: speaker tags, masks and, if wanted, names
    of the dialogue, and what the user allows."""
    found = dict.fromkeys((*SPEAKERS, *TAG.findall(dialogue), *literals))
    if copy_names:
        untagged = TAG.sub(" ", dialogue)
        found.update(dict.fromkeys(n for n in NAME.findall(untagged) if not n.isdigit()))
    return tuple(text for text in found if not all(is_hangul_text(c) for c in text))


def forbidden(text: str, excepted: Iterable[str]) -> str:
    """The characters of a text that keep it from being written, each once; '' when it can be."""
    within = [literal for literal in excepted if literal in text]
    reached: set[int] = {0}
    covered: set[int] = set()
    for at, character in enumerate(text):
        if at not in reached:
            continue
        if is_hangul_text(character):
            reached.add(at + 1)
        for literal in within:
            if text.startswith(literal, at):
                reached.add(at + len(literal))
                covered.update(range(at, at + len(literal)))
    if len(text) in reached:
        return ""
    left = (c for at, c in enumerate(text) if at not in covered and not is_hangul_text(c))
    return "".join(dict.fromkeys(left)) or text[max(reached)]
