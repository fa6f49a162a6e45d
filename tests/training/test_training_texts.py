"""Training texts: the prompt of screening, and labels on nothing but the summary and its end token."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest
from making import make, shipped, small

from dsum_bench.errors import ModelError
from dsum_bench.spec import Sample
from dsum_bench.training.texts import IGNORED, TrainingText, build_texts

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)
FAMILIES = {
    "llama3": ("llama3", "<|eot_id|>"),
    "qwen2_5": ("qwen", "<|im_end|>"),
    "qwen3": ("qwen", "<|im_end|>"),
    "gemma3": ("gemma", "<end_of_turn>"),
}


def samples() -> list[Sample]:
    """Every row of samples-ko, read without our readers."""
    found = []
    for split in ("train", "dev", "test"):
        text = (files("dsum_bench.datasets") / "samples_ko" / f"{split}.jsonl").read_text(encoding="utf-8")
        for line in text.splitlines():
            row = json.loads(line)
            said = row.get("summary") or []
            references = (said,) if isinstance(said, str) else tuple(said)
            found.append(Sample(f"{split}-{row['id']}", row["dialogue"], references))
    return found


def labelled(text: TrainingText) -> list[int]:
    return [i for i in text.labels if i != IGNORED]


@pytest.mark.parametrize("family", FAMILIES)
def test_labels_are_the_summary_and_its_end_on_every_row(family: str, tokenizer: Callable[[str], Any]) -> None:
    tok = tokenizer(family)
    name, end = FAMILIES[family]
    adapter = make(name, tok, "ko-default")
    rows = samples()
    texts = build_texts(adapter, rows, 4096)
    expected = [(s, r) for s in rows for r in s.references]
    assert len(texts) == len(expected) > 50
    for text, (sample, reference) in zip(texts, expected, strict=True):
        assert tok.decode(labelled(text), clean_up_tokenization_spaces=False) == reference + end
        # What is learnt stands at the very end, after exactly the prompt that screening gives.
        prompt = adapter.prompt(sample).token_ids
        assert text.input_ids == prompt + tuple(labelled(text))
        assert text.labels[: len(prompt)] == (IGNORED,) * len(prompt)


@pytest.mark.parametrize("family", FAMILIES)
def test_prompt_and_summary_are_tokenised_as_the_whole_conversation_is(
    family: str, tokenizer: Callable[[str], Any]
) -> None:
    tok = tokenizer(family)
    adapter: Any = make(FAMILIES[family][0], tok, "ko-default")
    for sample in samples()[:20]:
        (text,) = build_texts(adapter, [Sample(sample.id, sample.dialogue, sample.references[:1])], 4096)
        said = [*adapter.messages(sample.dialogue), {"role": "assistant", "content": sample.references[0]}]
        whole = tok.apply_chat_template(said, tokenize=False, **adapter.template_arguments())
        ids = tok(whole, add_special_tokens=False)["input_ids"]
        assert list(text.input_ids) == ids[: len(text.input_ids)]


def test_a_long_dialogue_loses_turns_and_the_summary_nothing() -> None:
    tok = small(CHATML, bos=None)
    adapter = make("chat", tok, "ko-default")
    turns = [f"#Person{1 + i % 2}#: 문장 {i} 입니다." for i in range(60)]
    summary = "#Person1#이 #Person2#에게 묻습니다."
    (text,) = build_texts(adapter, [Sample("a", "\n".join(turns), (summary,))], 1200)
    assert len(text.input_ids) <= 1200 and text.trimmed > 0
    assert tok.decode(labelled(text)) == summary + "<|im_end|>"
    assert turns[0] in tok.decode(text.input_ids)


def test_a_summary_longer_than_the_room_is_refused_by_name() -> None:
    adapter = make("chat", small(CHATML, bos=None), "ko-default")
    with pytest.raises(ModelError, match=r"row 1, sample 'a': its summary .* room for 64; use --set max_tokens="):
        build_texts(adapter, [Sample("a", "#Person1#: 네.", ("x" * 100,))], 64)


def test_the_adapter_has_its_own_room_again_afterwards() -> None:
    adapter = make("chat", small(CHATML, bos=None), "ko-default", limit=3000)
    build_texts(adapter, [Sample("a", "#Person1#: 네.", ("네.",))], 2000)
    assert adapter.context.max_prompt_tokens == 3000


def test_a_base_model_learns_the_gap_after_the_cue_and_the_end() -> None:
    tok = small(None)
    adapter = make("completion", tok, shipped("ko-completion"))
    (text,) = build_texts(adapter, [Sample("a", "#Person1#: 네.", ("네.",))], 4096)
    assert tok.decode(labelled(text)) == " 네.</s>"


def test_kobart_and_its_kin_learn_the_summary_and_the_end(bart_tokenizer: Any) -> None:
    tok = bart_tokenizer
    adapter = make("encoder_decoder", tok, None, wrap=True)
    for sample in samples():
        for text, reference in zip(build_texts(adapter, [sample], 512), sample.references, strict=True):
            assert text.labels[-1] == tok.eos_token_id and IGNORED not in text.labels
            assert tok.decode(text.labels[:-1]) == tok.decode(tok(reference, add_special_tokens=False)["input_ids"])
            assert text.input_ids == adapter.prompt(sample).token_ids
