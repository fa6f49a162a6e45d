"""Fields of a prompt: golden prompts, and the values that go into the places."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsum_bench.adapters.chat import ChatAdapter
from dsum_bench.adapters.completion import CompletionAdapter
from dsum_bench.adapters.encoder_decoder import EncoderDecoderAdapter
from dsum_bench.adapters.fields import length_of
from dsum_bench.adapters.prompts import fill, places
from dsum_bench.dialogue import speakers
from dsum_bench.errors import ModelError
from dsum_bench.spec import Example, LengthRule, PromptSpec, Sample
from dsum_bench.testing.making import CHATML, byte_tokenizer, make_adapter
from dsum_bench.training.texts import IGNORED, build_texts

ASKED = PromptSpec(
    "p",
    '{topic} 대화, 화자는 {speakers}, {length}자, {keywords}: {{"요약": ""}} {{topic}}\n{dialogue}',
    "{topic}을 아는 사람.",
    (Example("#Person1#: 네.", "끝난다.", {"topic": "끝", "keywords": "말"}),),
    length=LengthRule(base=5, share=0.5, least=10, most=40, step=5),
)
SAMPLE = Sample(
    "1",
    "#Person1#: 안녕?\n#Person2#: {topic} <|im_end|>",
    ("인사한다.",),
    "인사",
    fields={"keywords": "안녕, {dialogue}", "other": "x"},
)
QUESTION = (
    '인사 대화, 화자는 #Person1#, #Person2#, 25자, 안녕, {dialogue}: {{"요약": ""}} {topic}\n'
    "#Person1#: 안녕?\n#Person2#: {topic} <|im_end|>"
)
FIRST = '끝 대화, 화자는 #Person1#, 10자, 말: {{"요약": ""}} {topic}\n#Person1#: 네.'


# -- golden prompts -----------------------------------------------------------------------------------------------


def test_a_chat_prompt_has_every_field_in_its_place() -> None:
    made = make_adapter(ChatAdapter, byte_tokenizer(CHATML, adds_bos=False), ASKED).prompt(SAMPLE)
    assert made.text == (
        "<|im_start|>system\n인사을 아는 사람.<|im_end|>\n"
        f"<|im_start|>user\n{FIRST}<|im_end|>\n"
        "<|im_start|>assistant\n끝난다.<|im_end|>\n"
        f"<|im_start|>user\n{QUESTION}<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_a_control_token_in_a_field_is_words() -> None:
    tokenizer = byte_tokenizer(CHATML, adds_bos=False)
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    adapter = make_adapter(ChatAdapter, tokenizer, ASKED)
    clean, dirty = (adapter.prompt(replace(SAMPLE, topic=topic)).token_ids for topic in ("인사", "인사<|im_end|>"))
    assert clean.count(end) == dirty.count(end) == 4


def test_a_completion_prompt_has_every_field_in_its_place() -> None:
    made = make_adapter(CompletionAdapter, byte_tokenizer(adds_bos=False), ASKED).prompt(SAMPLE)
    assert made.text == f"인사을 아는 사람.\n\n{FIRST}\n끝난다.\n\n{QUESTION}"


def test_an_encoder_decoder_reads_a_topic_before_the_dialogue() -> None:
    options = {"prefix": "{topic} | {speakers}: "}
    adapter = make_adapter(EncoderDecoderAdapter, byte_tokenizer(adds_bos=False), None, options)
    assert adapter.places == ("topic", "speakers")
    assert adapter.prompt(SAMPLE).text == f"인사 | #Person1#, #Person2#: {SAMPLE.dialogue}"


def test_a_trimmed_prompt_says_the_length_of_the_whole_dialogue() -> None:
    long = replace(SAMPLE, dialogue="\n".join(f"#Person{i % 2 + 1}#: {i}번째 말이다." for i in range(9)))
    tokenizer = byte_tokenizer(CHATML, adds_bos=False)
    whole = make_adapter(ChatAdapter, tokenizer, ASKED).prompt(long)
    cut = make_adapter(ChatAdapter, tokenizer, ASKED, limit=len(whole.token_ids) - 60).prompt(long)
    assert cut.trimmed_turns and "40자" in whole.text and "40자" in cut.text


@pytest.mark.parametrize(
    ("adapter", "prompt", "options"),
    [
        (ChatAdapter, ASKED, {}),
        (CompletionAdapter, ASKED, {}),
        (EncoderDecoderAdapter, None, {"prefix": "{topic}: "}),
    ],
)
def test_training_texts_hold_what_the_prompt_holds(adapter: Any, prompt: Any, options: Any) -> None:
    made = make_adapter(adapter, byte_tokenizer(CHATML, adds_bos=False), prompt, options)
    other = replace(SAMPLE, id="2", topic="아주 긴 주제" * 9)
    for text, sample in zip(build_texts(made, [SAMPLE, other], 4096), (SAMPLE, other), strict=True):
        ids = made.prompt(sample).token_ids
        if adapter is EncoderDecoderAdapter:
            assert text.input_ids == ids
        else:
            assert text.input_ids[: len(ids)] == ids and set(text.labels[: len(ids)]) == {IGNORED}


def test_a_row_whose_fields_leave_no_room_is_named() -> None:
    made = make_adapter(ChatAdapter, byte_tokenizer(CHATML, adds_bos=False), ASKED)
    room = len(made.prompt(SAMPLE).token_ids) + 60
    with pytest.raises(ModelError, match="row 2, sample '2'"):
        build_texts(made, [SAMPLE, replace(SAMPLE, id="2", topic="아주 긴 주제" * 9)], room)


def test_a_sample_without_a_field_has_no_prompt() -> None:
    made = make_adapter(ChatAdapter, byte_tokenizer(CHATML), ASKED)
    with pytest.raises(ModelError, match="sample '1' has no field 'topic'"):
        made.prompt(replace(SAMPLE, topic=None))


def test_an_output_ends_where_another_example_begins_whatever_its_topic() -> None:
    from dsum_bench.spec import Generation

    prompt = PromptSpec("p", "주제: {topic}\n{dialogue}\n요약:")
    adapter = make_adapter(CompletionAdapter, byte_tokenizer(), prompt)
    made = Generation("1", " 인사한다.\n주제: 날씨\n#Person1#: 춥다.", 1, 1, "stop", 0.0)
    assert adapter.parse(made) == "인사한다."


# -- the parts ------------------------------------------------------------------------------------------------------


def test_places_are_names_in_braces_each_once() -> None:
    assert places('{a} {{b}} {dialogue} { c } {0} {"d"}', "{키워드}{a}") == ("a", "키워드")


@given(st.text(alphabet="{}ab 가", max_size=30), st.text(max_size=10), st.text(max_size=10))
def test_what_is_put_in_is_never_read_again(text: str, dialogue: str, value: str) -> None:
    marked = fill(text + "{dialogue}|{x}", dialogue, {"x": value})
    assert marked.endswith(f"{dialogue}|{value}") and "{x}" not in fill("{x}", "", {"x": "y"})


@given(
    st.integers(0, 5000),
    st.floats(-100, 100),
    st.floats(0, 2),
    st.integers(1, 100),
    st.integers(0, 900),
    st.integers(1, 50),
)
def test_a_length_keeps_its_bounds_and_steps(
    n: int, base: float, share: float, least: int, more: int, step: int
) -> None:
    rule = LengthRule(base, share, least, least + more, step)
    found = length_of("가" * n, rule)
    assert found % step == 0 and found >= step
    assert least - step <= found <= least + more + step
    assert found <= length_of("가" * (n + 100), rule)


def test_the_usual_length_is_a_fifth_of_the_dialogue() -> None:
    assert [length_of("가" * n, LengthRule()) for n in (10, 370, 424, 426, 5000)] == [30, 70, 80, 90, 200]


@pytest.mark.parametrize("wrong", [{"step": 0}, {"least": 0}, {"least": 50, "most": 40}])
def test_a_length_that_no_summary_can_have_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        LengthRule(**wrong)


@pytest.mark.parametrize(
    ("dialogue", "pattern", "names"),
    [
        ("#Person1#: 안녕\n#Person2#: 네\n#Person1#: 응", "", ["#Person1#", "#Person2#"]),
        ("민수: 몇 시야?\n김 대리： 세 시요", "", ["민수", "김 대리"]),
        ("[민수] [오후 3:30] 안녕\n[수아] [오후 3:31] 응", "", ["민수", "수아"]),
        ("2026년 1월 5일 오후 3:30, 민수 : 안녕\n2026년 1월 5일 오후 3:31, 수아 : 응", "", ["민수", "수아"]),
        ("[05/01/2026, 15:30:12] Minsu: hi", "", ["Minsu"]),
        ("1 : 안녕\n2 : 응", "", ["1", "2"]),
        ("가> 안녕\n나> 응", r"\w+>\s*", ["가", "나"]),
        ("말뿐이다", "", []),
        ("", "", []),
    ],
)
def test_speakers_are_named_as_the_turns_name_them(dialogue: str, pattern: str, names: list[str]) -> None:
    assert speakers(dialogue, pattern) == names
