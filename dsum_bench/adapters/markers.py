"""Control tokens spelled out in data: they are words of a speaker, not instructions to the model.

A tokenizer turns ``<|im_end|>`` into its control token wherever it stands, in a dialogue as in the template around it.
So what comes from data is guarded before it goes into a template: a character that no text has is put inside every
such word. Once the whole prompt is tokenised, the control tokens that have it inside are spelt as plain text instead.
(``apply_chat_template(sanitize_control_tokens=True)`` of transformers 5.23 does the same for chat templates alone.)
"""

from __future__ import annotations

import re
from typing import Any

from dsum_bench.dialogue import MASK

GUARD = "\ufdd0"
"""A noncharacter of Unicode: no text has it."""
_ORDER = re.compile(r"<\|.+\|>|</?(?:think|tool_\w+)>|<unused\d+>")
"""Tokens that work as control tokens though tokenizers do not call them special."""


class Markers:
    """The tokens of a vocabulary that steer its model, without speaker tags and masks.

    texts: by id.
    """

    def __init__(self, tokenizer: Any) -> None:
        found = {int(i): str(token.content) for i, token in tokenizer.added_tokens_decoder.items() if _steers(token)}
        self.texts = {i: text for i, text in found.items() if len(text) > 1}
        self._known = frozenset(self.texts.values())
        self._lengths = sorted({len(text) for text in self._known})
        self._first = re.compile(f"[{re.escape(''.join({t[0] for t in self._known}))}]" if self._known else "(?!)")

    def places(self, text: str) -> list[int]:
        """Where one of them begins in a text."""
        starts = (m.start() for m in self._first.finditer(text))
        return [i for i in starts if any(text[i : i + n] in self._known for n in self._lengths)]


def _steers(token: Any) -> bool:
    text = str(token.content)
    return bool((token.special or _ORDER.fullmatch(text)) and text.strip() and not MASK.fullmatch(text))


def guarded(text: str, markers: Markers) -> str:
    """text with GUARD after the first character of each marker."""
    text = text.replace(GUARD, "")
    places = [start + 1 for start in markers.places(text)]
    return GUARD.join(text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True))


def ids_of(tokenizer: Any, text: str, markers: Markers) -> list[int]:
    """Ids of a text with nothing put around it; guarded markers in it are plain text."""
    plain = text.replace(GUARD, "")
    if plain == text:
        return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
    if not tokenizer.is_fast:  # it does not tell where its tokens stand
        pieces = (tokenizer(piece, add_special_tokens=False, verbose=False)["input_ids"] for piece in text.split(GUARD))
        return [i for piece in pieces for i in piece]
    places = [m.start() - n for n, m in enumerate(re.finditer(GUARD, text))]
    read = tokenizer(plain, add_special_tokens=False, verbose=False, return_offsets_mapping=True)
    ids: list[int] = []
    for token, (start, end) in zip(read["input_ids"], read["offset_mapping"], strict=True):
        said = token in markers.texts and any(start < place < end for place in places)
        ids += spelt(tokenizer, plain[start:end], markers) if said else [token]
    return ids


def spelt(tokenizer: Any, marker: str, markers: Markers) -> list[int]:
    """Ids of a marker as plain text."""
    whole = tokenizer(marker, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    if markers.texts.keys().isdisjoint(whole):
        return list(whole)
    # Of a token that is not called special only its pieces are plain text: the two that take the fewest tokens.
    cuts = [(marker[:at], marker[at:]) for at in range(1, len(marker))]
    ways = [[i for part in cut for i in tokenizer(part, add_special_tokens=False)["input_ids"]] for cut in cuts]
    return min((way for way in ways if markers.texts.keys().isdisjoint(way)), key=len)
