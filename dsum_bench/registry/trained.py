"""Trained models as entries of the zoo: ``BASE@RUN``, from the folder of results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from dsum_bench.errors import ModelError
from dsum_bench.provenance import Provenance, read
from dsum_bench.registry.load import Registry
from dsum_bench.spec import ModelSpec

FOLDER = "models"


def result_folder(results: Path, name: str) -> Path:
    """Where the weights of ``BASE@RUN`` lie."""
    return results / FOLDER / name


def with_trained(registry: Registry, results: Path) -> Registry:
    """The registry with every trained model in a results folder whose base it knows.

    A folder that cannot be read is left out: it is then an unknown model, and the others go on.
    """
    found: dict[str, ModelSpec] = {}
    for folder in sorted((results / FOLDER).glob("*@*")):
        try:
            made = read(folder)
        except ModelError:
            continue
        known = {**registry.models, **found}  # a whole model may have been trained further: its name comes after
        if made is not None and made.base in known and not folder.name.startswith("."):
            found[folder.name] = trained(known[made.base], made, folder)
    return replace(registry, models={**registry.models, **found})


def trained(base: ModelSpec, made: Provenance, folder: Path) -> ModelSpec:
    """The entry of a trained model: its base's, with the new weights, held in memory as they were trained."""
    folder = folder.resolve()
    changes: dict[str, Any] = {
        "name": folder.name,
        "base": base.name,
        "recipe": str(made.recipe.get("name", base.recipe)),
        "dtype": made.recipe.get("dtype", base.dtype),
        "quantization": made.recipe.get("quantization", base.quantization),
        "note": f"{base.name}, trained on {made.dataset} {made.split}",
        "origin": str(folder),
    }
    if (folder / "adapter_config.json").is_file():
        return replace(base, peft=str(folder), **changes)
    return replace(base, source=(str(folder),), revision=None, sha256=None, **changes)
