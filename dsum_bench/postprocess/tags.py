"""Steps about speaker tags and names. What is right is told from the dialogue alone."""

from __future__ import annotations

import re
from functools import lru_cache

from dsum_bench.dialogue import SPEAKER, TAG, split_turns
from dsum_bench.postprocess.base import Postprocessor
from dsum_bench.spec import Sample

_PIECES = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\dA-Za-z]+")
_HASH = "[#＃]"


class Tags(Postprocessor):
    """Speaker tags and masks are written as the dialogue writes them: ``# Person 1 #``, ``#person1#``, ``Person1``
    become ``#Person1#`` where the dialogue has ``#Person1#``. A tag that the dialogue does not have is left alone, and
    so is a word without ``#`` that is the name of a mask without a number (``email``)."""

    name = "tags"

    def __call__(self, summary: str, sample: Sample) -> str:
        tags = _tags(sample.dialogue)
        while tags and (made := _repaired(summary, tags)) != summary:
            summary = made
        return summary


@lru_cache(maxsize=1024)
def _tags(dialogue: str) -> tuple[str, ...]:
    """The tags and masks of a dialogue, each once, the longest first."""
    return tuple(sorted(dict.fromkeys(TAG.findall(dialogue)), key=len, reverse=True))


def _repaired(text: str, tags: tuple[str, ...]) -> str:
    right, wrong = _patterns(tags)
    spelt = {_plain(tag): tag for tag in tags}
    parts, start = [], 0
    for tag in right.finditer(text):
        whole = tag.group() if tag.group() in tags else spelt.get(_plain(tag.group()), tag.group())
        parts += [_between(text[start : tag.start()], wrong, tags), whole]
        start = tag.end()
    return "".join([*parts, _between(text[start:], wrong, tags)])


def _plain(tag: str) -> str:
    """What two spellings of a tag share."""
    return tag.replace("_", "").casefold()


def _between(text: str, wrong: re.Pattern[str], tags: tuple[str, ...]) -> str:
    return wrong.sub(lambda found: tags[int(str(found.lastgroup)[1:])], text)


@lru_cache(maxsize=1024)
def _patterns(tags: tuple[str, ...]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What a well-formed tag is, and what is nearly one: group ``t{i}`` for tags[i]."""
    pieces = [_PIECES.findall(tag[1:-1]) for tag in tags]
    first = "|".join(dict.fromkeys(re.escape(p[0]) for p in pieces))
    # The next tag's opening mark is not this one's closing mark.
    closing = rf"(?:{_HASH}(?!{first})|[ \t]+{_HASH}(?![ \t]*(?:{first})))"
    shapes = []
    for number, parts in enumerate(pieces):
        word = r"[ \t_-]*".join(map(re.escape, parts))
        numbered = parts[-1].isdigit()
        loose = rf"(?:{_HASH}[ \t]*)?{word}(?!\d){closing}?"
        # A mask without a number is an ordinary word unless it is marked on some side.
        marked = rf"{_HASH}[ \t]*{word}(?![A-Za-z\d]){closing}?|{word}{closing}"
        shapes.append(rf"(?P<t{number}>{loose if numbered else marked})")
    exact = "|".join(map(re.escape, tags))
    wrong = re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(shapes)})", re.IGNORECASE)
    return re.compile(rf"{exact}|#[A-Za-z][A-Za-z0-9_]*#"), wrong


# -- particles ------------------------------------------------------------------------------------------------

_PARTICLES = ("은는", "이가", "을를", "과와")
"""After a final consonant, and after a vowel."""
_AFTER = re.compile(rf"(?P<particle>[{''.join(_PARTICLES)}])(?![^\W_])")
_CLOSED_DIGITS = frozenset("013678")
"""Digits whose Sino-Korean reading ends in a consonant: 영, 일, 삼, 육, 칠, 팔. People write ``#Person1#은`` and
``#Person2#는``."""


class Particles(Postprocessor):
    """은/는, 이/가, 을/를 and 과/와 fit what is before them, after numbered tags and the speakers' names.

    Other words are left alone: whether 가 or 은 is a particle there only an analysis of the sentence would tell.
    """

    name = "particles"

    def __call__(self, summary: str, sample: Sample) -> str:
        return _subjects(sample.dialogue).sub(lambda found: _fitted(found, sample.dialogue), summary)


def _fitted(found: re.Match[str], dialogue: str) -> str:
    subject, particle = found["subject"], found["particle"]
    if not subject.startswith("#") and found.group() in dialogue:
        return found.group()  # the dialogue knows a longer name, 민지은 beside 민지
    pair = next(p for p in _PARTICLES if particle in p)
    return subject + pair[0 if _closed(subject.rstrip("#")[-1]) else 1]


def _closed(last: str) -> bool:
    """Whether a syllable or digit ends in a consonant."""
    return last in _CLOSED_DIGITS if last.isdigit() else (ord(last) - ord("가")) % 28 != 0


@lru_cache(maxsize=1024)
def _subjects(dialogue: str) -> re.Pattern[str]:
    """A numbered tag, or the name of a speaker in Hangul as a whole word, with a particle."""
    names = sorted({name for turn in split_turns(dialogue) if (name := _speaker(turn))}, key=len, reverse=True)
    known = "|".join([r"#[A-Za-z]+\d+#", *(rf"(?<![^\W_]){re.escape(name)}" for name in names)])
    return re.compile(rf"(?P<subject>{known}){_AFTER.pattern}")


def _speaker(turn: str) -> str:
    """The name before a turn's colon where it ends in Hangul, else ''."""
    said = SPEAKER.match(turn)
    name = said.group().strip().rstrip(":：").strip() if said else ""
    return name if name and "가" <= name[-1] <= "힣" and "#" not in name and "]" not in name else ""
