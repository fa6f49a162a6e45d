"""Adapters made the way a run makes them, with the shipped prompts."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from dsum_bench.adapters.base import Adapter, AdapterContext
from dsum_bench.adapters.build import build
from dsum_bench.plugins import Plugins, PluginSettings
from dsum_bench.spec import Example, Generation, ModelSpec, PromptFormat, PromptSpec

REGISTRY = Path(__file__).parents[1] / "registry.toml"


@cache
def builtins() -> Plugins:
    return Plugins(PluginSettings(packages=()))


@cache
def shipped(name: str) -> PromptSpec:
    table = tomllib.loads(REGISTRY.read_text(encoding="utf-8"))["prompts"][name]
    examples = tuple(Example(**e) for e in table.get("examples", ()))
    return PromptSpec(name, table["user"], table.get("system", ""), examples, table["language"])


def make(
    name: str,
    tokenizer: Any = None,
    prompt: PromptSpec | str | None = None,
    *,
    prompt_format: PromptFormat = "template",
    limit: int | None = None,
    **options: object,
) -> Adapter:
    """An adapter with a prompt of the registry (by name) or of the test's own."""
    spec = shipped(prompt) if isinstance(prompt, str) else prompt
    model = ModelSpec("under-test", name, options=options, origin="test")
    return build(builtins(), AdapterContext(model, spec, prompt_format, "ko", tokenizer, limit))


def generation(text: str) -> Generation:
    return Generation("s", text, 1, 1, "stop", 0.0)


def small(template: str | None = None, bos: str | None = "<s>", adds_bos: bool = True, more: Sequence[str] = ()) -> Any:
    """A byte-level tokenizer without merges: every byte is a token, and nothing is unknown.

    more: further control tokens.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    inner = Tokenizer(models.BPE(letters, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens([t for t in (bos, "</s>", "<|im_start|>", "<|im_end|>", *more) if t])
    if bos and adds_bos:
        inner.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, inner.token_to_id(bos))]
        )
    made = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token=bos, eos_token="</s>")
    made.chat_template = template
    return made
