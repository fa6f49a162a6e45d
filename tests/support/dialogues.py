"""Korean dialogues made by hypothesis: any number of turns of any length, with masks in the text."""

from __future__ import annotations

import re

from hypothesis import strategies as st

from dsum_bench.spec import Sample

WORDS = re.findall(
    r"\S+",
    "네 아니요 그런데 내일 오후 세 시에 회의실 예약했어요 정말 고마워 3:30 10,000원 010-1234 "
    "#PhoneNumber# #Address# #Person2#가 괜찮아요? 뷁 😀 ㅋㅋㅋ Tom이 {dialogue} 좋지!",
)
TAG = re.compile(r"#\w+#")

words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=12).map(" ".join)
turn = st.builds("#Person{}#: {}".format, st.integers(1, 4), words)
long_turn = st.builds(
    "#Person{}#: {}".format, st.integers(1, 4), st.integers(200, 900).map(lambda n: "가나다 " * n + "네")
)


def dialogues(max_turns: int = 40) -> st.SearchStrategy[list[str]]:
    """Lists of turns; now and then one of them is thousands of characters long."""
    few = st.lists(turn, min_size=1, max_size=max_turns)
    many = st.builds(lambda turns, times: turns * times, st.lists(turn, min_size=1, max_size=20), st.integers(1, 20))
    odd = st.builds(lambda a, middle, b: [*a, middle, *b], st.lists(turn, max_size=6), long_turn, st.lists(turn))
    return st.one_of(few, many, odd)


def sample(turns: list[str]) -> Sample:
    return Sample("s", "\n".join(turns))


def half_tags(text: str) -> str:
    """What is left of a text when its whole tags are taken out, if a piece of one is in it; else ''."""
    rest = TAG.sub("", text)
    return rest if "#" in rest else ""
