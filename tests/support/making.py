"""Adapters made the way a run makes them, with the shipped prompts."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from dsum_bench.adapters.base import Adapter, AdapterContext
from dsum_bench.adapters.build import build
from dsum_bench.plugins import Plugins
from dsum_bench.spec import Example, Generation, ModelSpec, PluginSettings, PromptFormat, PromptSpec
from dsum_bench.testing import byte_tokenizer as small

__all__ = ["builtins", "generation", "make", "shipped", "small"]

REGISTRY = Path(__file__).parents[2] / "registry.toml"


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
