"""Where turns begin: the forms that chat exports, web pages and transcripts have, and what only looks like one."""

from __future__ import annotations

import pytest

from dsum_bench.dialogue import split_turns, trim

WORDS = ["오늘 몇 시에 와?", "3시쯤 도착해.", "그럼 역 앞에서 보자!"]


@pytest.mark.parametrize(
    ("first", "second", "line_break"),
    [
        ("#Person1#: ", "#Person2#: ", "<br>"),
        ("#Person1#: ", "#Person2#: ", "<BR />"),
        ("#Person1#: ", "#Person2#: ", "\\n"),
        ("#Person1#: ", "#Person2#: ", "\\r\\n"),
        ("#Person1#: ", "#Person2#: ", "\u2028"),
        ("#Person1#: ", "#Person2#: ", "\r"),
        ("1 : ", "2 : ", "\n"),
        ("01: ", "02: ", "\n"),
        ("[민수] [오후 3:30] ", "[지영이 ♥] [오후 3:31] ", "\n"),
        ("2026년 1월 5일 오후 3:30, 민수 : ", "2026년 1월 5일 오후 3:31, 김 지영 이모 님 : ", "\n"),
        ("2026. 1. 5. 오후 3:30, 민수 : ", "2026. 1. 5. 오후 3:31, 지영 : ", "\n"),
        ("[05/01/2026, 15:30:12] Min Su: ", "[05/01/2026, 15:30:40] +82 10-1234: ", "\n"),
        ("1/5/26, 3:30 PM - Min Su: ", "1/5/26, 3:31 PM - Jiyeong: ", "\n"),
        ("15:30 민수: ", "15:31 지영: ", "\n"),
    ],
)
def test_the_usual_forms_are_turns(first: str, second: str, line_break: str) -> None:
    turns = [first + WORDS[0], second + WORDS[1], first + WORDS[2]]
    assert split_turns(line_break.join(turns)) == turns


@pytest.mark.parametrize(
    "line",
    [
        "3:30에 보자",
        "오후 3:30: 회의",
        "10 : 30 쯤",
        "https://example.com",
        "[웃음] 그래",
        "1월 5일 3:30에 봐: 꼭",
        "a<br>b",
    ],
)
def test_what_only_looks_like_a_turn_continues_the_one_before(line: str) -> None:
    assert split_turns(f"#Person1#: 네\n{line}") == [f"#Person1#: 네\n{line}"]


def test_a_dataset_may_say_what_a_turn_begins_with() -> None:
    dialogue = "민수> 안녕\n지영> 응: 그래\n- 그리고<br>민수> 좋아"
    assert len(split_turns(dialogue)) == 1
    turns = ["민수> 안녕", "지영> 응: 그래\n- 그리고", "민수> 좋아"]
    assert split_turns(dialogue, r"\w+> ") == turns
    # The name stays when the one turn that is left must be cut.
    assert trim(turns, lambda d: len(d) <= 6, r"\w+> ").dialogue == "민수> 안녕"
    assert trim(turns, lambda d: len(d) <= 5, r"\w+> ").dialogue == "민수> 안"
