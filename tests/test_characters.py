"""Characters that a text should not hold: removed, pointed out, or overlooked when texts are compared."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsum_bench.characters import accidents, canonical_text, oddities, repaired
from dsum_bench.fingerprints import dialogue_digest

KOREAN = "#Person1#은 3시에 카페에서 #Person2#를 만나기로 합니다."


def full_width(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def test_nul_and_byte_order_marks_are_removed_and_named() -> None:
    assert repaired(f"\0\ufeff{KOREAN[:5]}\0{KOREAN[5:]}") == KOREAN
    assert accidents("\0가\0") == ("NUL",)
    assert accidents("가\ufeff") == ("byte order mark",)
    assert accidents(KOREAN) == ()


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        (KOREAN, ()),
        ("plain", ()),
        (unicodedata.normalize("NFD", KOREAN), ("not NFC",)),
        ("가\u200b나", ("invisible characters",)),
        ("가\u3164나", ("invisible characters",)),
        (full_width("#Person1#"), ("full-width digits or letters",)),
        ("３시", ("full-width digits or letters",)),
        ("네！ 정말요？ （웃음）～", ()),  # full-width punctuation is usual
        ("\ud800", ("lone surrogates",)),
        ("가족 👨‍👩‍👧 사진", ()),  # joiners of an emoji
        ("하트 ❤️‍🔥", ()),
    ],
)
def test_what_counts_as_odd(text: str, kinds: tuple[str, ...]) -> None:
    assert oddities(text) == kinds


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf"]), max_size=40))
def test_a_copy_that_looks_alike_has_the_same_digest(text: str) -> None:
    digest = dialogue_digest(unicodedata.normalize("NFC", text))
    assert dialogue_digest(unicodedata.normalize("NFD", text)) == digest
    assert dialogue_digest("\u200b" + text) == digest == dialogue_digest(f"\ufeff {text}\n")


def test_digests_of_ordinary_texts_are_those_of_their_words() -> None:
    """Records of training hold digests: they must go on to fit."""
    from hashlib import sha256

    text = "#Person1#: 여보세요… ‘네’ ① ㎏ ～\n#Person2#:  그래요!"
    assert dialogue_digest(text) == sha256(" ".join(text.split()).replace("～", "~").encode()).hexdigest()[:16]
    assert canonical_text(full_width(KOREAN)) == KOREAN
    assert dialogue_digest("가 나") != dialogue_digest("가나")
