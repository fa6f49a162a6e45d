"""Turns and trimming, judged by properties and by brute force."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import pytest
from dialogues import TAG, dialogues, half_tags
from hypothesis import given
from hypothesis import strategies as st

from dsum_bench.adapters.prompts import default_prompt, fill
from dsum_bench.dialogue import split_turns, trim
from dsum_bench.errors import ModelError


def is_subsequence(part: list[str], whole: list[str]) -> bool:
    rest = iter(whole)
    return all(item in rest for item in part)


# -- turns ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dialogue", "turns"),
    [
        ("", []),
        ("#Person1#: 안녕\n#Person2#: 네", ["#Person1#: 안녕", "#Person2#: 네"]),
        ("#Person1#: 안녕\n잘 지내?\n\n#Person2#: 네", ["#Person1#: 안녕\n잘 지내?\n", "#Person2#: 네"]),
        ("제목\n#Person1#: 안녕", ["제목", "#Person1#: 안녕"]),
        (
            "민수: 몇 시야?\n김 대리: 세 시요\nDr. Smith: Fine.",
            ["민수: 몇 시야?", "김 대리: 세 시요", "Dr. Smith: Fine."],
        ),
        ("민수：전각\n #Person2# : 칸", ["민수：전각", " #Person2# : 칸"]),
        ("#Person1# 콜론이 없다\n#Person2# 나도", ["#Person1# 콜론이 없다", "#Person2# 나도"]),
        ("#점원1#: 어서 오세요\n#손님#: 네", ["#점원1#: 어서 오세요", "#손님#: 네"]),
        ("A: 링크야\nhttps://example.org\n오후 3:30에 봐", ["A: 링크야\nhttps://example.org\n오후 3:30에 봐"]),
        ("A: 번호는\n#PhoneNumber#로 전화해", ["A: 번호는\n#PhoneNumber#로 전화해"]),
        ("A: 하나\r\nB: 둘\r\n", ["A: 하나", "B: 둘\n"]),
    ],
)
def test_turns_begin_at_speakers(dialogue: str, turns: list[str]) -> None:
    assert split_turns(dialogue) == turns


@given(dialogues())
def test_every_tagged_line_is_a_turn(turns: list[str]) -> None:
    assert split_turns("\n".join(turns)) == turns


@given(st.text(alphabet="가나A1#: \n\t：/"))
def test_turns_joined_are_the_dialogue(dialogue: str) -> None:
    assert "\n".join(split_turns(dialogue)) == dialogue


# -- the text of a prompt ---------------------------------------------------------------------------------------


def test_only_the_place_of_the_dialogue_is_filled() -> None:
    assert fill('{x} {0} {{}} "{dialogue}" {', "{x} {dialogue}") == '{x} {0} {{}} "{x} {dialogue}" {'


@pytest.mark.parametrize(
    ("style", "language", "name"),
    [("chat", "ko", "ko-default"), ("completion", "ko", "ko-completion"), ("chat", "en", "en-default")],
)
def test_default_prompts(style: str, language: str, name: str) -> None:
    assert default_prompt(style, language) == name


# -- trimming ---------------------------------------------------------------------------------------------------


def test_turns_go_from_the_middle() -> None:
    turns = ["A: 1", "B: 2", "A: 3", "B: 4", "A: 5"]
    kept = {limit: trim(turns, lambda d, limit=limit: len(d) <= limit) for limit in (24, 23, 14, 9, 4)}
    assert [k.dialogue.split("\n") for k in kept.values()] == [
        turns,
        ["A: 1", "B: 2", "B: 4", "A: 5"],
        ["A: 1", "B: 2", "A: 5"],
        ["A: 1", "A: 5"],
        ["A: 1"],
    ]
    assert [k.trimmed_turns for k in kept.values()] == [0, 1, 2, 3, 4]
    assert not any(k.trimmed_chars for k in kept.values())


def test_a_turn_that_is_too_long_alone_loses_its_end() -> None:
    trimmed = trim(["#Person1#: 가나다라마바사", "B: 2"], lambda d: len(d) <= 14)
    assert (trimmed.dialogue, trimmed.trimmed_turns, trimmed.trimmed_chars) == ("#Person1#: 가나다", 1, 4)


def test_a_tag_inside_a_long_turn_is_not_cut() -> None:
    turn = "#Person1#: 번호는 #PhoneNumber#입니다"
    for limit in range(13, len(turn)):
        kept = trim([turn], lambda d, limit=limit: len(d) <= limit).dialogue
        assert turn.startswith(kept) and len(kept) <= limit and not half_tags(kept)
        assert limit - len(kept) < len("#PhoneNumber#")


def test_no_room_at_all_is_an_error() -> None:
    for turns in (["#Person1#: 안녕"], []):
        with pytest.raises(ModelError, match="too long even with"):
            trim(turns, lambda d: False)
    with pytest.raises(ModelError, match="single word"):
        trim(["#Person1#: 안녕"], lambda d: len(d) <= len("#Person1#: "))


def steady(limit: int) -> Callable[[str], bool]:
    return lambda text: len(text) <= limit


def wavering(limit: int) -> Callable[[str], bool]:
    """Like a tokenizer, which may need fewer tokens for a slightly longer text."""
    return lambda text: len(text) + zlib.crc32(text.encode()) % 9 <= limit


@given(dialogues(), st.integers(30, 2000), st.sampled_from([steady, wavering]))
def test_trimming_keeps_as_much_as_fits(
    turns: list[str], limit: int, rule: Callable[[int], Callable[[str], bool]]
) -> None:
    fits = rule(limit)
    trimmed = trim(turns, fits)
    kept = trimmed.dialogue.split("\n")
    assert fits(trimmed.dialogue)
    assert not half_tags(trimmed.dialogue)
    if trimmed.trimmed_chars:
        assert len(kept) == 1 and trimmed.trimmed_turns == len(turns) - 1
        assert turns[0].startswith(kept[0]) and len(turns[0]) - len(kept[0]) == trimmed.trimmed_chars
        assert TAG.match(kept[0])
        assert not fits(turns[0])
    else:
        assert is_subsequence(kept, turns)
        assert len(kept) == len(turns) - trimmed.trimmed_turns
        assert kept[0] == turns[0] and (len(kept) == 1 or kept[-1] == turns[-1])
    if trimmed.trimmed_turns and not trimmed.trimmed_chars:
        more = len(kept) + 1
        head, tail = turns[: more - more // 2], turns[len(turns) - more // 2 :]
        assert not fits("\n".join([*head, *tail]))


@given(dialogues(), st.integers(30, 2000))
def test_trimming_is_as_good_as_trying_everything(turns: list[str], limit: int) -> None:
    fits = steady(limit)
    best = next(
        (k for k in range(len(turns), 0, -1) if fits("\n".join([*turns[: k - k // 2], *turns[len(turns) - k // 2 :]]))),
        1,
    )
    assert trim(turns, fits).trimmed_turns == len(turns) - best


@given(st.integers(1, 400), st.integers(0, 400))
def test_few_tries_are_enough(count: int, limit: int) -> None:
    tries = 0

    def fits(dialogue: str) -> bool:
        nonlocal tries
        tries += 1
        return len(dialogue.split("\n")) <= max(limit, 1)

    trim(["A: 1"] * count, fits)
    assert tries <= 2 * count.bit_length() + 4
