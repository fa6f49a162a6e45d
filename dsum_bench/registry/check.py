"""What the types of a registry entry cannot say: names that must exist, values that must fit together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from math import isfinite
from typing import TYPE_CHECKING, Any

from dsum_bench.errors import UserError, did_you_mean, nearest, suggestion
from dsum_bench.registry.tables import Where, read_table, read_values
from dsum_bench.spec import DatasetSpec, DecodingSpec, ModelSpec, PostprocessSpec, RecipeSpec

if TYPE_CHECKING:
    from dsum_bench.plugins import Plugins

NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]*")
ENSEMBLE = "ensemble"
ALLOW = ("pickle", "remote-code")
COLUMNS = ("id", "dialogue", "summary", "topic")
MADE = ("length", "speakers")
"""Fields of a prompt that are made from the dialogue."""
FIELD = re.compile(r"[^\W\d]\w*")


def model(spec: ModelSpec, where: Where) -> None:
    """Refuse values of a model entry that no plugin is needed to judge."""
    for right in spec.allow:
        if right not in ALLOW:
            raise where.error(
                f"key 'allow' may hold {' and '.join(ALLOW)}, not '{right}'{did_you_mean(right, ALLOW)}", "allow"
            )
    if spec.sha256 is not None and not re.fullmatch("[0-9a-f]{64}", spec.sha256):
        raise where.error("key 'sha256' must be 64 digits 0-9 a-f", "sha256")
    if spec.max_prompt_tokens is not None and spec.max_prompt_tokens < 1:
        raise where.error(
            f"key 'max_prompt_tokens' must be at least 1, not {spec.max_prompt_tokens}", "max_prompt_tokens"
        )
    if spec.members:
        _members(spec, where)
    if spec.prices and (len(spec.prices) != 2 or min(spec.prices) < 0):
        raise where.error(
            "key 'prices' must be two numbers: of a million prompt tokens, of a million new ones", "prices"
        )


def _members(spec: ModelSpec, where: Where) -> None:
    weights = spec.members.values()
    if not all(isfinite(w) and w >= 0 for w in weights) or sum(w > 0 for w in weights) < 1:
        raise where.error("key 'members' needs weights of 0 or more, one of them above 0", "members")
    if spec.name in spec.members:
        raise where.error(f"key 'members' names '{spec.name}' itself", "members", spec.name)
    if spec.engine != ENSEMBLE:
        raise where.error(f"key 'members' needs engine '{ENSEMBLE}', which is its default", "engine")
    if spec.source or spec.peft:
        key = "source" if spec.source else "peft"
        raise where.error(f"key '{key}' cannot be combined with 'members', which have their own", key)


def dataset(spec: DatasetSpec, where: Where) -> None:
    """Refuse column mappings of things a sample does not have, and a pattern that is none."""
    try:
        matches_nothing = re.compile(spec.turns).match("") and spec.turns
    except re.error as error:
        raise where.error(f"key 'turns' is not a valid regular expression: {error}", "turns") from None
    if matches_nothing:
        raise where.error(
            f"key 'turns' must match the start of a turn, but '{spec.turns}' matches the empty string", "turns"
        )
    for ours, theirs in spec.columns.items():
        if ours not in COLUMNS and (nearest(ours, COLUMNS) or not FIELD.fullmatch(ours)):
            raise where.error(f"unknown key 'columns.{ours}'{suggestion(ours, COLUMNS)}", "columns", ours)
        if ours in MADE:
            made = f"key 'columns.{ours}': {{{ours}}} is made from the dialogue; give the column another name"
            raise where.error(made, "columns", ours)
        if not isinstance(theirs, str) and ours != "summary":
            raise where.error(
                f"key 'columns.{ours}' must be one column; only summary may have several", "columns", ours
            )
        if not theirs:
            raise where.error(f"key 'columns.{ours}' names no column", "columns", ours)


def postprocess(spec: PostprocessSpec, where: Where) -> None:
    """Refuse a list without steps, and a step that stands in it twice."""
    if not spec.steps:
        raise where.error("key 'steps' is empty: list the postprocessors to apply, in order", "steps")
    for place, step in enumerate(spec.steps):
        if step in spec.steps[:place]:
            raise where.error(f"key 'steps' names '{step}' twice", "steps", place)


def check(entries: dict[str, dict[str, Any]], places: Mapping[tuple[str, str], Where], plugins: Plugins) -> None:
    """Check every entry against the plugins and the other entries; decoding parameters are converted in place.

    A model registered by a plugin that does not pass is taken out and the plugin's ``problem`` says why, so
    that somebody else's package cannot stop a sweep.

    Raises:
        UserError: an entry of a file does not pass.
    """
    for name, decoding in entries["decodings"].items():
        entries["decodings"][name] = _decoding(decoding, places["decodings", name], plugins)
    for name, dataset in entries["datasets"].items():
        _known("format", dataset.format, "dataset format", plugins.datasets, places["datasets", name])
    for name, listed in entries["postprocess"].items():
        for step in listed.steps:
            _known("steps", step, "postprocessor", plugins.postprocessors, places["postprocess", name])
    for name, recipe in entries["recipes"].items():
        entries["recipes"][name] = _recipe(recipe, places["recipes", name], plugins)
    for name, spec in list(entries["models"].items()):
        where = places.get(("models", name))
        try:
            _model(spec, where or Where(f"model '{name}'"), entries, plugins)
        except UserError as error:
            if where is not None:
                raise
            _leave_out(spec.origin, str(error), plugins)
            del entries["models"][name]


def from_plugins(plugins: Plugins) -> dict[str, ModelSpec]:
    """The models that plugins register, with their owners as origins; those no file could hold are left out."""
    found = {}
    registered: Mapping[str, object] = plugins.models
    for owner, info in plugins.info.items():
        for name in info.registers.get("models", ()):
            where = Where(f"model '{name}'")
            try:
                found[name] = _from_plugin(registered[name], owner, where)
            except UserError as error:
                _leave_out(owner, str(error), plugins)
    return found


def _from_plugin(spec: object, owner: str, where: Where) -> ModelSpec:
    if not isinstance(spec, ModelSpec):
        raise where.error(f"an object of type {type(spec).__name__} was registered, not a ModelSpec")
    if not NAME.fullmatch(spec.name):
        raise where.error("a valid name has lower-case letters, digits and . _ @ + - (not first)")
    model(spec, where)
    return replace(spec, origin=owner)


def _leave_out(owner: str, reason: str, plugins: Plugins) -> None:
    info = plugins.info[owner]
    if info.builtin:
        raise UserError(f"{owner}: {reason}")
    info.problem = "; ".join(filter(None, (info.problem, f"left out {reason}")))


def _decoding(spec: DecodingSpec, where: Where, plugins: Plugins) -> DecodingSpec:
    _known("strategy", spec.strategy, "decoding strategy", plugins.decodings, where)
    params = plugins.decodings[spec.strategy].Params
    read_table(params, spec.params, where)
    return replace(spec, params=read_values(params, spec.params, where))


def _recipe(spec: RecipeSpec, where: Where, plugins: Plugins) -> RecipeSpec:
    _known("trainer", spec.trainer, "trainer", plugins.trainers, where)
    params = plugins.trainers[spec.trainer].Params
    read_table(params, spec.params, where)
    return replace(spec, params=read_values(params, spec.params, where))


def _model(spec: ModelSpec, where: Where, entries: dict[str, dict[str, Any]], plugins: Plugins) -> None:
    _known("adapter", spec.adapter, "adapter", plugins.adapters, where)
    _known("engine", spec.engine, "engine", plugins.engines, where)
    _known("decoding", spec.decoding, "decoding", entries["decodings"], where)
    _known("recipe", spec.recipe, "recipe", entries["recipes"], where)
    if spec.prompt is not None:
        _known("prompt", spec.prompt, "prompt", entries["prompts"], where)
    adapter = plugins.adapters[spec.adapter]
    read_table(adapter.Options, spec.options, where.inside("options"))
    if spec.engine == ENSEMBLE and not spec.members:
        raise where.error(f"key 'members' is missing: engine '{ENSEMBLE}' averages models", "engine")
    if adapter.architecture != "none" and not spec.source and not spec.members:
        raise where.error(f"key 'source' is missing: adapter '{spec.adapter}' works with a checkpoint")
    if adapter.architecture == "none" and spec.engine == "huggingface":
        raise where.error(f"adapter '{spec.adapter}' works without a model: write engine = \"control\"", "adapter")


def _known(key: str, name: str, what: str, known: Mapping[str, object], where: Where) -> None:
    if name not in known:
        raise where.error(f"key '{key}': unknown {what} '{name}'{suggestion(name, known)}", key)
