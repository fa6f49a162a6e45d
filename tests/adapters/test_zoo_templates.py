"""Models of the zoo whose templates have habits of their own: roles, control tokens, ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from making import builtins, generation, shipped, small
from setups import found, setup

from dsum_bench.adapters.base import Adapter, AdapterContext
from dsum_bench.adapters.build import build
from dsum_bench.errors import ModelError
from dsum_bench.registry.load import load
from dsum_bench.spec import PromptFormat, Sample

DIALOGUE = "#Person1#: 여보세요, 예약한 이름이 뭐죠?\n#Person2#: 김도윤이요."
BLOCKS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""ChatML with any role, the form that the cards of HyperCLOVA X describe."""


def of_the_zoo(name: str, tokenizer: Any, prompt_format: PromptFormat = "template") -> Adapter:
    model = load(plugins=builtins(), working_directory=Path("/")).model(name)
    return build(builtins(), AdapterContext(model, shipped("ko-default"), prompt_format, "ko", tokenizer))


def tokens(tokenizer: Any, ids: tuple[int, ...]) -> set[str]:
    return set(tokenizer.convert_ids_to_tokens(list(ids)))


@pytest.mark.parametrize("name", ["hyperclovax-seed", "hyperclovax-seed-0.5b"])
def test_hyperclovax_reads_an_empty_list_of_tools_first(name: str) -> None:
    """The prompt that its card prints under "Result": tool_list, system, user, assistant."""
    tokenizer = small(BLOCKS, None, more=("<|endofturn|>", "<|stop|>"))
    adapter = of_the_zoo(name, tokenizer)
    made = adapter.prompt(Sample("s", DIALOGUE))
    system = shipped("ko-default").system
    assert made.text.startswith(f"<|im_start|>tool_list\n<|im_end|>\n<|im_start|>system\n{system}<|im_end|>\n")
    assert made.text.endswith(f"{DIALOGUE}<|im_end|>\n<|im_start|>assistant\n")
    assert tokens(tokenizer, adapter.end_ids()) == {"<|im_end|>", "<|endofturn|>", "<|stop|>"}
    assert found(setup(adapter, [Sample("s", DIALOGUE)])) == {}


def test_ends_that_a_vocabulary_lacks_are_cut_as_text() -> None:
    adapter = of_the_zoo("hyperclovax-seed-0.5b", small(BLOCKS, None))
    assert tokens(adapter.tokenizer, adapter.end_ids()) == {"<|im_end|>"}
    assert adapter.parse(generation("#Person1#은 예약을 묻습니다.<|endofturn|>\n<|im_start|>user")) == (
        "#Person1#은 예약을 묻습니다."
    )


@pytest.mark.parametrize("name", ["gemma4-e2b", "gemma4-e4b"])
def test_gemma4_has_a_system_role_and_an_end_of_its_own(chat_template: Callable[[str], str], name: str) -> None:
    marks = ("<|turn>", "<turn|>", "<|channel>", "<channel|>", "<|think|>")
    tokenizer = small(chat_template("gemma4_v5"), "<bos>", more=marks)
    adapter = of_the_zoo(name, tokenizer)
    made = adapter.prompt(Sample("s", DIALOGUE))
    assert made.text.startswith(f"<bos><|turn>system\n{shipped('ko-default').system}")
    assert made.text.endswith(f"{DIALOGUE}<turn|>\n<|turn>model\n")
    assert list(made.token_ids).count(tokenizer.bos_token_id) == 1
    assert "<turn|>" in tokens(tokenizer, adapter.end_ids())
    assert found(setup(adapter, [Sample("s", DIALOGUE)])) == {}


@pytest.mark.parametrize("name", ["qwen3-0.6b", "qwen3-1.7b", "qwen3-8b"])
def test_qwen3_of_every_size_does_not_think(tokenizer: Callable[[str], Any], name: str) -> None:
    adapter = of_the_zoo(name, tokenizer("qwen3"))
    made = adapter.prompt(Sample("s", DIALOGUE))
    assert made.text.endswith("<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n")
    assert found(setup(adapter, [Sample("s", DIALOGUE)])) == {}


@pytest.mark.parametrize(("family", "end"), [("llama3_1", "<|eot_id|>"), ("gemma3", "<end_of_turn>")])
def test_what_a_template_puts_after_an_answer_ends_one(tokenizer: Callable[[str], Any], family: str, end: str) -> None:
    """Mi:dm and A.X go by their templates alone, so the adapter finds the end there."""
    opened = tokenizer(family)
    assert tokens(opened, of_the_zoo("midm2-mini", opened).end_ids()) == {end}
    assert of_the_zoo("ax4-light", opened, "raw").end_ids() == ()


def test_a_template_that_refuses_an_answer_names_no_end() -> None:
    refuses = "{% for m in messages %}{% if m.role == 'assistant' %}{{ raise_exception('no') }}{% endif %}" + (
        "{{ m.content }}\n{% endfor %}"
    )
    tokenizer = small(refuses, None)
    assert of_the_zoo("midm2-mini", tokenizer).end_ids() == ()
    tokenizer.eos_token = None
    with pytest.raises(ModelError, match="would never stop"):
        of_the_zoo("midm2-mini", tokenizer).target("요약")
