"""Records with objects inside, as JSON and Parquet have them: columns with dots, and turns as a list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

SPEAKER_KEYS = (
    "speaker",
    "speakerid",
    "participantid",
    "participant",
    "role",
    "from",
    "name",
    "user",
    "author",
    "화자",
)
WORDS_KEYS = ("utterance", "text", "content", "message", "sentence", "form", "value", "발화")
"""What the speaker and the words of a turn are called, without case, ``_`` and ``-``; the first there counts."""

DEEPEST = 8
"""Objects within objects that are looked into."""


def flat(values: Mapping[str, object]) -> dict[str, object]:
    """A record with what lies in objects inside under dotted names too: ``{"a": {"b": 1}}`` has ``a.b``."""
    return {**dict(_inside(values, "", DEEPEST)), **values}


def _inside(values: Mapping[str, object], before: str, depth: int) -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        name = f"{before}{key}"
        if before:
            yield name, value
        if isinstance(value, Mapping) and depth:
            yield from _inside(value, f"{name}.", depth - 1)


def dialogue_of(turns: Sequence[object]) -> str | None:
    """A dialogue from a list of its turns, a line each; None where it is no such list.

    A turn is a string, or an object with its words and, most often, its speaker, who is put before them:
    ``{"speaker": "A", "utterance": "네"}`` becomes ``A: 네``.
    """
    lines = [_line(turn) for turn in turns]
    said = [line for line in lines if line is not None]
    return "\n".join(said) if said and len(said) == len(lines) else None


def _line(turn: object) -> str | None:
    if isinstance(turn, str):
        return " ".join(turn.split())
    if not isinstance(turn, Mapping):
        return None
    words, speaker = _first(turn, WORDS_KEYS), _first(turn, SPEAKER_KEYS)
    if not isinstance(words, str):
        return None
    line = " ".join(words.split())
    named = isinstance(speaker, str | int) and not isinstance(speaker, bool) and str(speaker).strip()
    return f"{str(speaker).strip().rstrip(':')}: {line}" if named else line


def _first(turn: Mapping[object, object], keys: Sequence[str]) -> object:
    known = {str(key).lower().replace("_", "").replace("-", ""): value for key, value in turn.items()}
    return next((known[key] for key in keys if known.get(key) is not None), None)
