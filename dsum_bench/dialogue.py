"""Dialogues: turns, speaker tags and masks, and how a dialogue is shortened until it fits. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from dsum_bench.errors import ModelError

_CLOCK = r"(?:(?:오전|오후|[AaPp][Mm])\ ?)?\d{1,2}:\d{2}(?::\d{2})?(?:\ ?[AaPp][Mm])?"
_DATE = r"\d{1,4}(?:년\ ?|[.\-/]\ ?)\d{1,2}(?:월\ ?|[.\-/]\ ?)\d{1,4}(?:일|\.)?"
SPEAKER = re.compile(
    rf"""\s*(?:
        \#\w+\#\s*[:：]                                   # a tag: '#Person1#:'
      | \#Person\w*\#                                     # the usual tag, its colon forgotten
      | [^\W\d_][\w.'’()-]*(?:[ ][\w.'’()-]+){{0,2}}\s*[:：](?![\d/])    # a name of up to three words: '김 대리:'
      | \d{{1,2}}\s*[:：](?=\s)(?!\s*\d\d(?:\s|$))         # a number: '1 :'
      | \[[^\[\]\n]{{1,40}}\]\s*\[{_CLOCK}\]              # a chat exported by a computer: '[민수] [오후 3:30]'
      | \[?(?:{_DATE},?\s*)?{_CLOCK}(?:\]\s*|,\s*|\s+(?:-\s+)?)   # by a telephone: '2026년 1월 5일 오후 3:30, 민수 :',
        [^\s:：][^:：\n]{{0,39}}?\s*[:：](?![\d/])          # '[05/01/2026, 15:30:12] Minsu:'
    )[ \t]*""",
    re.VERBOSE,
)
"""The beginning of a turn. A clock time (``오후 3:30``) and an address (``https://``) are not names."""

_EXPORTED = re.compile(rf"\[([^\[\]\n]+)\]\s*\[{_CLOCK}\]")
_STAMP = re.compile(rf"^\[?(?:{_DATE},?\s*)?{_CLOCK}(?:\]\s*|,\s*|\s+(?:-\s+)?)")
_BREAK = re.compile(r"\r\n?|\n|\v|\f|\x85|\u2028|\u2029|<br\s*/?>|\\r\\n|\\n", re.IGNORECASE)
"""What ends a line in data that was exported or scraped, ``<br>`` and a backslash with an ``n`` among them. All but a
newline count only where a turn begins after them: a turn may hold any text."""

TAG = re.compile(r"#[A-Za-z]\w*#")
"""Speaker tags and masks: ``#Person1#``, ``#PhoneNumber#``."""

MASK = re.compile(r"#\w+#")
"""Whatever looks like a tag, ``#전화번호#`` and ``#1#`` too; none is ever cut in two."""


@dataclass(frozen=True, slots=True)
class TrimmedDialogue:
    """A dialogue that fits. trimmed_turns: turns left out; trimmed_chars: characters cut from a kept turn."""

    dialogue: str
    trimmed_turns: int = 0
    trimmed_chars: int = 0


def split_turns(dialogue: str, speaker: str = "") -> list[str]:
    """Turns of a dialogue, in order. Joined by newlines they give the dialogue again, but for line breaks of other
    kinds (``\\r\\n``, ``<br>``, a backslash and ``n``, U+2028) before a turn, which go.

    A turn starts at a line that begins with a speaker (``#Person1#:``, ``민수:``, ``[민수] [오후 3:30]``, ``1 :``); any
    other line continues the turn before it.

    speaker: a regular expression for what a turn begins with, in place of the usual forms.
    """
    begins = _compiled(speaker) if speaker else SPEAKER
    turns: list[list[str]] = []
    for line in _lines(dialogue, begins) if dialogue else ():
        if begins.match(line) or not turns:
            turns.append([line])
        else:
            turns[-1].append(line)
    return ["\n".join(lines) for lines in turns]


def speakers(dialogue: str, speaker: str = "") -> list[str]:
    """Who speaks in a dialogue, as its turns name them, in the order in which they begin. speaker: as for
    ``split_turns``."""
    begins = _compiled(speaker) if speaker else SPEAKER
    said = (begins.match(turn) for turn in split_turns(dialogue, speaker))
    return list(dict.fromkeys(name for found in said if found and (name := _name(found[0]))))


def _name(beginning: str) -> str:
    """The speaker in what a turn begins with: without colon, brackets and the clock of a chat's export."""
    text = beginning.strip()
    exported = _EXPORTED.fullmatch(text)
    if exported:
        return exported[1].strip()
    return _STAMP.sub("", text).strip(":：> \t")


def _lines(dialogue: str, begins: re.Pattern[str]) -> list[str]:
    lines, start = [], 0
    for found in _BREAK.finditer(dialogue):
        if found.group() in ("\n", "\r\n") or begins.match(dialogue, found.end()):
            lines.append(dialogue[start : found.start()])
            start = found.end()
    return [*lines, dialogue[start:]]


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def trim(turns: Sequence[str], fits: Callable[[str], bool], speaker: str = "") -> TrimmedDialogue:
    """The most of a dialogue that fits.

    Whole turns go, from the middle outwards, so that the opening and the outcome stay; the very first turn goes
    last. Where that one turn alone is too long, its end is cut; its speaker and the tags in it stay whole.

    fits: whether a dialogue fits. It may be only nearly monotone, as token counts are: what is returned fits, and
        with one turn more it would not.
    speaker: as for ``split_turns``.

    Raises:
        ModelError: not even one turn fits.
    """
    dropped = _smallest(len(turns) - 1, lambda count: fits(_without_middle(turns, count)))
    if dropped is not None:
        return TrimmedDialogue(_without_middle(turns, dropped), trimmed_turns=dropped)
    if not turns:
        if fits(""):
            return TrimmedDialogue("")
        raise ModelError("the prompt is too long even without a dialogue")
    first = turns[0]
    said = (_compiled(speaker) if speaker else SPEAKER).match(first)
    ends = [len(first), *_cuts(first, said.end() if said else 0)]
    cut = _smallest(len(ends) - 1, lambda index: fits(first[: ends[index]]))
    if cut is None:
        raise ModelError("the prompt is too long even with a single word of the dialogue")
    kept = first[: ends[cut]]
    return TrimmedDialogue(kept, trimmed_turns=len(turns) - 1, trimmed_chars=len(first) - len(kept))


def _without_middle(turns: Sequence[str], count: int) -> str:
    start = (len(turns) - count + 1) // 2
    return "\n".join([*turns[:start], *turns[start + count :]])


def _cuts(turn: str, start: int) -> list[int]:
    """Where a turn may end, longest first: after any character of its text that is not inside a tag."""
    inside = {i for tag in MASK.finditer(turn) for i in range(tag.start() + 1, tag.end())}
    return [i for i in range(len(turn) - 1, start, -1) if i not in inside]


def _smallest(last: int, holds: Callable[[int], bool]) -> int | None:
    """The number in 0..last for which ``holds`` is true and is not for the one before; None when there is none.

    Found by halving, then put right by steps, since ``holds`` may waver where it changes. All along it is known
    not to hold just below ``low``.
    """
    if last < 0:
        return None
    if holds(0):
        return 0
    low, high = 1, last
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    while low <= last and not holds(low):
        low += 1
    return low if low <= last else None
