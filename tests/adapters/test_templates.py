"""Prompts for real tokenizers, judged by the tokenizers' own chat templates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from assets import need, tokenizer_folder
from dialogues import dialogues, half_tags, sample
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from making import generation, make, shipped

from dsum_bench.adapters.chat import ChatAdapter
from dsum_bench.errors import ModelError
from dsum_bench.spec import Example, PromptSpec, Sample

FAMILIES = {"llama3": "llama3", "llama3_1": "llama3", "qwen2_5": "qwen", "qwen3": "qwen", "gemma3": "gemma"}
HEADS = {
    "llama3": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n",
    "llama3_1": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n",
    "qwen2_5": "<|im_start|>system\n",
    "qwen3": "<|im_start|>system\n",
    "gemma3": "<bos><start_of_turn>user\n",
}
ENDS = {
    "llama3": "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    "llama3_1": "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    "qwen2_5": "<|im_end|>\n<|im_start|>assistant\n",
    "qwen3": "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
    "gemma3": "<end_of_turn>\n<start_of_turn>model\n",
}
EOS = {
    "llama3": {"<|eot_id|>", "<|end_of_text|>"},
    "llama3_1": {"<|eot_id|>", "<|end_of_text|>"},  # this copy has no <|eom_id|>
    "qwen2_5": {"<|im_end|>", "<|endoftext|>"},
    "qwen3": {"<|im_end|>", "<|endoftext|>"},
    "gemma3": {"<end_of_turn>", "<eos>"},
}
DIALOGUE = (
    "#Person1#: 여보세요, 예약한 이름이 뭐죠?\n#Person2#: 김도윤이요. 번호는 #PhoneNumber#예요.\n#Person1#: 3시 맞죠?"
)
SHOTS = PromptSpec(
    "shots", "요약:\n{dialogue}", "간결하게 쓰세요.", (Example("#Person1#: 안녕?", "#Person1#은 인사합니다."),)
)
Open = Callable[[str], Any]

each = pytest.mark.parametrize("family", sorted(FAMILIES))


def own_ids(tokenizer: Any, family: str, prompt: PromptSpec, dialogue: str) -> list[int]:
    """What the tokenizer itself makes of the conversation, written down message by message."""
    user = prompt.user.replace("{dialogue}", dialogue)
    pairs = [(prompt.user.replace("{dialogue}", e.dialogue), e.summary) for e in prompt.examples]
    messages = [{"role": "system", "content": prompt.system}] if prompt.system else []
    for question, answer in pairs:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    messages.append({"role": "user", "content": user})
    if family == "gemma3" and prompt.system:
        messages = messages[1:]
        messages[0] = {"role": "user", "content": prompt.system + "\n\n" + messages[0]["content"]}
    encoded = tokenizer.apply_chat_template(
        messages, tokenize=True, add_generation_prompt=True, enable_thinking=False, date_string="26 Jul 2024"
    )
    ids: list[int] = encoded["input_ids"]
    return ids


# -- the same tokens as the tokenizer's own template ------------------------------------------------------------


@each
@pytest.mark.parametrize("name", ["ko-default", "en-default", "ko-completion", "shots"])
def test_ids_are_those_of_the_own_template(tokenizer: Open, family: str, name: str) -> None:
    prompt = SHOTS if name == "shots" else shipped(name)
    made = make(FAMILIES[family], tokenizer(family), prompt).prompt(Sample("s", DIALOGUE))
    assert list(made.token_ids) == own_ids(tokenizer(family), family, prompt, DIALOGUE)
    assert (made.turns, made.trimmed_turns, made.trimmed_chars) == (3, 0, 0)


@each
def test_one_bos_where_the_family_has_one(tokenizer: Open, family: str) -> None:
    opened = tokenizer(family)
    for prompt_format in ("template", "raw"):
        made = make(FAMILIES[family], opened, "ko-default", prompt_format=prompt_format).prompt(Sample("s", DIALOGUE))
        bos = {"llama3": 128000, "llama3_1": 128000, "gemma3": 2}.get(family)
        if bos is None:
            assert opened.bos_token_id is None
        elif family == "llama3" and prompt_format == "raw":
            assert bos not in made.token_ids  # this copy of the tokenizer adds none, so the raw ablation has none
        else:
            assert made.token_ids[0] == bos and made.token_ids.count(bos) == 1


@each
def test_the_prompt_ends_where_the_answer_begins(tokenizer: Open, family: str) -> None:
    made = make(FAMILIES[family], tokenizer(family), "ko-default").prompt(Sample("s", DIALOGUE))
    assert made.text.endswith(DIALOGUE + ENDS[family])
    assert made.text.startswith(HEADS[family])


@each
def test_every_end_token_of_the_family_is_known(tokenizer: Open, family: str) -> None:
    ids = make(FAMILIES[family], tokenizer(family), "ko-default").end_ids()
    assert set(tokenizer(family).convert_ids_to_tokens(list(ids))) == EOS[family]


@each
def test_the_generic_adapter_makes_the_same_tokens(tokenizer: Open, family: str) -> None:
    """What ``chat`` lacks of a family can be given as template arguments."""
    prompt = PromptSpec("plain", "{dialogue}\n요약:")
    chat = make("chat", tokenizer(family), prompt, template_arguments={"enable_thinking": False})
    assert list(chat.prompt(Sample("s", DIALOGUE)).token_ids) == own_ids(tokenizer(family), family, prompt, DIALOGUE)


# -- BOS planted wrong ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["llama3", "llama3_1", "gemma3"])
@pytest.mark.parametrize("times", [0, 1, 2, 3])
def test_templates_with_too_few_or_too_many_bos(tokenizer: Open, family: str, times: int) -> None:
    opened = need_own(family)
    opened.chat_template = "{{ bos_token }}" * times + "{{ messages[-1]['content'] }}"
    made = make(FAMILIES[family], opened, PromptSpec("p", "{dialogue}")).prompt(Sample("s", "A: 안녕"))
    body = tokenizer(family)("A: 안녕", add_special_tokens=False)["input_ids"]
    # Only the llama3 copy adds no BOS by itself, so with a template that has none it stays without.
    bos = [] if family == "llama3" and times == 0 else [opened.bos_token_id]
    assert list(made.token_ids) == bos + body


def need_own(family: str) -> Any:
    """A tokenizer of the test's own, which it may change."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(need(tokenizer_folder, family))


# -- trimming ---------------------------------------------------------------------------------------------------


@each
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(turns=dialogues(), limit=st.integers(256, 1024))
@example(turns=["#Person1#: 네"] * 700, limit=256)
@example(turns=["#Person1#: " + "가나다 " * 3000, "#Person2#: 네"], limit=300)
def test_header_end_and_tags_survive_trimming(tokenizer: Open, family: str, turns: list[str], limit: int) -> None:
    opened = tokenizer(family)
    adapter = make(FAMILIES[family], opened, "ko-default", limit=limit)
    made = adapter.prompt(sample(turns))
    whole = own_ids(opened, family, shipped("ko-default"), "\n".join(turns))

    assert len(made.token_ids) <= limit
    assert (made.trimmed_turns or made.trimmed_chars) if len(whole) > limit else list(made.token_ids) == whole

    header = common_prefix(*(own_ids(opened, family, shipped("ko-default"), d) for d in ("#Person1#: 네", "B")))
    end = opened(ENDS[family], add_special_tokens=False)["input_ids"]
    assert list(made.token_ids[: len(header)]) == header and len(header) > 150
    assert list(made.token_ids[-len(end) :]) == end

    head, tail = shipped("ko-default").user.split("{dialogue}")
    said = made.text.partition(head)[2].removesuffix(tail + ENDS[family])
    assert not half_tags(said)
    kept = said.split("\n")
    assert len(kept) == len(turns) - made.trimmed_turns
    if made.trimmed_chars:
        assert turns[0].startswith(kept[0].rstrip()) and kept[0].startswith(turns[0][: len("#Person1#: ")].rstrip())
    else:
        first = len(kept) - len(kept) // 2
        assert kept == [*turns[:first], *turns[len(turns) - len(kept) // 2 :]]


def common_prefix(one: list[int], other: list[int]) -> list[int]:
    same = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return one[:same]


@each
def test_a_limit_below_the_bare_prompt_is_an_error(tokenizer: Open, family: str) -> None:
    adapter = make(FAMILIES[family], tokenizer(family), "ko-default", limit=100)
    with pytest.raises(ModelError, match=r"takes \d+ tokens without a dialogue, and there is room for 100"):
        adapter.prompt(Sample("s", DIALOGUE))


@each
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(turns=dialogues(max_turns=20), limit=st.integers(400, 700))
def test_completion_and_raw_prompts_keep_their_frame(
    tokenizer: Open, family: str, turns: list[str], limit: int
) -> None:
    opened = tokenizer(family)
    completion = make("completion", opened, "ko-completion", limit=limit).prompt(sample(turns))
    raw = make(FAMILIES[family], opened, "ko-default", prompt_format="raw", limit=limit).prompt(sample(turns))
    assert max(len(completion.token_ids), len(raw.token_ids)) <= limit
    assert completion.text.endswith("\n요약:") and completion.text.count("요약:") == 3
    assert raw.text.removeprefix(opened.bos_token or "").startswith(shipped("ko-default").system + "\n\n")
    for made in (completion, raw):
        assert not half_tags(made.text.removesuffix("\n요약:"))


# -- speaker tags -----------------------------------------------------------------------------------------------


@each
def test_tags_survive_from_prompt_to_summary(tokenizer: Open, family: str) -> None:
    adapter = make(FAMILIES[family], tokenizer(family), "ko-default")
    text = "#Person1#은 #Person2#에게 #PhoneNumber#로 전화합니다. #Person1#, #Person2#."
    ids = tokenizer(family)(text, add_special_tokens=False)["input_ids"]
    assert adapter.decode([*ids, *adapter.end_ids()]) == text


@each
def test_tags_that_are_special_tokens_are_not_dropped(family: str, tokenizer: Open) -> None:
    """The fault of the reference study: with the tags made special, skip_special_tokens deleted them."""
    opened = need_own(family)
    opened.add_special_tokens({"additional_special_tokens": ["#Person1#", "#Person2#"]})
    size = len(opened)
    adapter = make(FAMILIES[family], opened, "ko-default")
    ids = opened("#Person1#은 #Person2#를 만납니다.", add_special_tokens=False)["input_ids"]
    assert opened.convert_tokens_to_ids("#Person1#") in ids
    assert "#Person" not in opened.decode(ids, skip_special_tokens=True)
    assert adapter.decode([*ids, *adapter.end_ids()]) == "#Person1#은 #Person2#를 만납니다."
    assert len(opened) == size


@each
def test_no_adapter_adds_to_the_vocabulary(tokenizer: Open, family: str) -> None:
    opened = need_own(family)
    before = (len(opened), opened.get_added_vocab())
    for name in (FAMILIES[family], "chat", "completion", "encoder_decoder"):
        adapter = make(name, opened, "ko-completion")
        adapter.decode(adapter.prompt(Sample("s", DIALOGUE)).token_ids)
        assert (len(opened), opened.get_added_vocab()) == before


# -- templates as published -------------------------------------------------------------------------------------


class Later(datetime):
    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return datetime(2031, 5, 17)


@pytest.mark.parametrize("name", ["llama3_1", "llama3_2"])
def test_prompts_are_the_same_on_another_day(
    chat_template: Callable[[str], str], tokenizer: Open, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    opened = need_own("llama3_1")
    # The template of Llama 3.2 as it is published asks the clock where no date is given.
    opened.chat_template = chat_template(name).replace(
        '{%- set date_string = "26 Jul 2024" %}', '{%- set date_string = strftime_now("%d %b %Y") %}'
    )
    messages = [{"role": "user", "content": "안녕"}]
    today = opened.apply_chat_template(messages, tokenize=False)
    prompt = make("llama3", opened, "ko-default").prompt(Sample("s", DIALOGUE))
    assert "Today Date: 26 Jul 2024\n" in prompt.text
    monkeypatch.setattr("transformers.utils.chat_template_utils.datetime", Later)
    assert opened.apply_chat_template(messages, tokenize=False) != today
    assert make("llama3", opened, "ko-default").prompt(Sample("s", DIALOGUE)) == prompt
    assert (
        "Today Date: 01 Jan 2025\n"
        in make("llama3", opened, "ko-default", date_string="01 Jan 2025").prompt(Sample("s", DIALOGUE)).text
    )


@pytest.mark.parametrize(("adapter", "family"), [("chat", "llama3_1"), ("qwen", "qwen3"), ("gemma", "gemma3")])
def test_a_clock_stands_still_for_every_adapter(
    tokenizer: Open, monkeypatch: pytest.MonkeyPatch, adapter: str, family: str
) -> None:
    """Whatever a template calls what it reads from the clock."""
    opened = need_own(family)
    opened.chat_template = (
        "{%- set heute = strftime_now('%d.%m.%Y %H:%M:%S') %}Now " + "{{ heute }}\n" + str(opened.chat_template)
    )
    prompt = make(adapter, opened, "ko-default").prompt(Sample("s", DIALOGUE))
    assert prompt.text.count("Now 26.07.2024 00:00:00") == 1
    target = make(adapter, opened, "ko-default").target("요약")
    monkeypatch.setattr("transformers.utils.chat_template_utils.datetime", Later)
    assert make(adapter, opened, "ko-default").prompt(Sample("s", DIALOGUE)) == prompt
    assert make(adapter, opened, "ko-default").target("요약") == target


def test_a_template_without_system_role_gets_the_text_all_the_same(
    chat_template: Callable[[str], str], tokenizer: Open
) -> None:
    """Gemma 1 and 2 raise where a system message comes; adapter gemma merges it, adapter chat says why it fails."""
    opened = need_own("gemma3")
    opened.chat_template = chat_template("gemma")
    made = make("gemma", opened, "ko-default").prompt(Sample("s", DIALOGUE))
    assert made.text.startswith(f"<bos><start_of_turn>user\n{shipped('ko-default').system}\n\n")
    assert made.token_ids.count(2) == 1
    with pytest.raises(ModelError, match="refuses the prompt: System role not supported"):
        make("chat", opened, "ko-default").prompt(Sample("s", DIALOGUE))


def test_qwen_instruct_has_no_thinking_block(chat_template: Callable[[str], str], tokenizer: Open) -> None:
    opened = need_own("qwen3")
    opened.chat_template = chat_template("qwen3_instruct_2507")
    made = make("qwen", opened, "ko-default").prompt(Sample("s", DIALOGUE))
    assert made.text.endswith("<|im_end|>\n<|im_start|>assistant\n")
    assert "<think>" not in made.text


def test_thinking_marks_that_are_special_tokens_can_still_be_cut(tokenizer: Open) -> None:
    opened = need_own("qwen3")
    opened.add_special_tokens({"additional_special_tokens": ["<think>", "</think>"]})
    adapter = make("qwen", opened, "ko-default")
    assert isinstance(adapter, ChatAdapter)
    ids = opened("<think>\n어디 보자\n</think>\n\n#Person1#은 갑니다.<|im_end|>", add_special_tokens=False)["input_ids"]
    assert adapter.summary(adapter.decode(ids)).strip() == "#Person1#은 갑니다."


def test_a_character_cut_between_its_bytes_is_left_off(tokenizer: Callable[[str], Any]) -> None:
    real = tokenizer("qwen3")
    adapter = make("qwen", real, shipped("ko-default"))
    ids = next(found for text in ("뷁", "똠", "쀍") if len(found := real(text)["input_ids"]) > 1)
    written = adapter.decode([*real("끝")["input_ids"], *ids[:-1]])
    assert written.endswith("\ufffd")
    cut = replace(generation(written), finish="length")
    assert adapter.parse(cut) == "끝"
    assert adapter.parse(generation(written)) == written


@pytest.mark.parametrize("name", ["gemma3", "llama3_1", "qwen3"])
def test_a_blank_line_ends_a_completion(tokenizer: Callable[[str], Any], name: str) -> None:
    real = tokenizer(name)
    ends = make("completion", real, shipped("ko-completion")).end_ids()
    assert [real.decode([i]) for i in ends][:1] == ["\n\n"]
