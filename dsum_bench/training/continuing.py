"""Training that goes on with an adapter which was trained before: a new run on the same base."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dsum_bench.errors import UserError
from dsum_bench.provenance import read
from dsum_bench.registry.load import Registry
from dsum_bench.spec import ModelSpec, RecipeSpec, StartSpec

SHAPE = ("r", "alpha", "target_modules", "modules_to_save", "init")
"""Parameters that an adapter has been given for good."""


def start_of(model: ModelSpec, registry: Registry) -> tuple[ModelSpec, StartSpec | None]:
    """The model whose weights are loaded, and the adapter that training goes on with, if the model is one.

    Raises:
        UserError: it is an adapter, and its base is not in the registry.
    """
    if model.peft is None:
        return model, None
    if model.base is None or model.base not in registry.models:
        raise UserError(f"{model.name} is an adapter on a base that is not in the registry; export it with --merge")
    return registry.models[model.base], StartSpec(model.name, model.peft, model.quantization)


def shaped(recipe: RecipeSpec, start: StartSpec, keeps: str, quantization: str, settings: Sequence[str]) -> RecipeSpec:
    """The recipe with the shape that the adapter has.

    keeps, quantization: of the recipe's trainer.

    Raises:
        UserError: the recipe or a setting would need another adapter.
    """
    if keeps != "adapter":
        raise UserError(f"{start.name} is an adapter, and recipe '{recipe.name}' trains all weights; merge it first "
                        "(dsum-bench export --merge)")  # fmt: skip
    if quantization != start.quantization:
        raise UserError(f"{start.name} was trained on a base with quantization {start.quantization}, and recipe "
                        f"'{recipe.name}' holds it with {quantization}; continue it with its own recipe")  # fmt: skip
    for setting in settings:
        key = setting.partition("=")[0].strip()
        if key in SHAPE:
            raise UserError(f"--set {setting}: {start.name} was made with its own {key}, which cannot be changed")
    config = adapter_config(start)
    if bool(config.get("use_dora")) != (recipe.trainer == "dora"):
        raise UserError(
            f"{start.name} and recipe '{recipe.name}' do not agree on DoRA; continue it with its own recipe"
        )
    params: dict[str, Any] = {"r": int(config["r"]), "alpha": float(config["lora_alpha"]), "init": "default"}
    params |= {"target_modules": (), "modules_to_save": tuple(config.get("modules_to_save") or ())}
    return replace(recipe, params={**recipe.params, **params})


def fingerprinted(start: StartSpec) -> StartSpec:
    """The start with the fingerprint of its weights."""
    from dsum_bench.engines.checkpoint import fingerprint

    try:
        return replace(start, weights=fingerprint([Path(start.folder) / "adapter_model.safetensors"]))
    except OSError as error:
        raise UserError(f"{start.name} cannot be continued: its weights cannot be read ({error})") from None


def adapter_config(start: StartSpec) -> Mapping[str, Any]:
    """What peft wrote beside the adapter's weights.

    Raises:
        UserError: it cannot be read.
    """
    file = Path(start.folder) / "adapter_config.json"
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return found
    except (OSError, ValueError) as error:
        raise UserError(f"{start.name} cannot be continued: {file} cannot be read ({error})") from None


def learnt_before(model: ModelSpec, start: StartSpec | None) -> tuple[str, ...]:
    """Digests of the dialogues that the weights which a training begins with have been trained on."""
    made = read(Path(start.folder if start else model.source[0]))
    return made.dialogues if made else ()
