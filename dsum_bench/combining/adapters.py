"""LoRA adapters of one base averaged into one. Torch is imported inside functions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsum_bench.errors import UserError
from dsum_bench.provenance import FILE as RECORD
from dsum_bench.provenance import Provenance, read, write

if TYPE_CHECKING:
    import torch

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
LABEL = "average"
OTHER = ("use_dora", "rank_pattern", "alpha_pattern", "modules_to_save", "lora_bias", "layer_replication")
"""Settings under which an adapter is more than one product of two matrices a module, or of unequal rank."""


SAME = {"base": "base", "base_weights": "weights of the base", "adapter": "adapter", "prompt": "prompt"}


def average(folders: Mapping[str, Path], weights: Sequence[float], target: Path) -> Provenance:
    """Write the weighted mean of adapters to a new folder; returns its record.

    What a LoRA adapter adds to a matrix is scale * B A (Hu et al. 2022). The mean of several such products is a
    product again: the As one above the other, and the Bs beside each other, each times its scale and its share of the
    weight. It is exact, unlike the mean of As and Bs, and its rank is the sum of theirs.

    folders: model -> where its adapter lies.

    Raises:
        UserError: an adapter of another kind or base, or of other modules; the folder is there already.
    """
    from safetensors.torch import load_file, save_file

    records = {name: _record(name, folder) for name, folder in folders.items()}
    configs = {name: _config(name, folder) for name, folder in folders.items()}
    _alike(records, configs)
    if target.exists():
        raise UserError(f"{target} is there already; choose another --name")
    tensors = [load_file(folder / WEIGHTS) for folder in folders.values()]
    names, total = list(folders), sum(weights)
    for name, found in zip(names, tensors, strict=True):
        if found.keys() != tensors[0].keys():
            raise UserError(f"{name} and {names[0]} adapt different modules, so their adapters have no average")
    factors = [w / total * _scale(configs[name]) for name, w in zip(names, weights, strict=True)]
    made = {key: _joined(key, [t[key] for t in tensors], factors) for key in tensors[0]}
    rank = sum(int(config["r"]) for config in configs.values())
    config = configs[names[0]] | {"r": rank, "lora_alpha": rank, "use_rslora": False}
    record = _provenance(list(records.values()), names, weights)
    new = target.with_name(f".{target.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    try:
        shutil.copytree(folders[names[0]], new, ignore=shutil.ignore_patterns(WEIGHTS, CONFIG, RECORD, "*.pt", "*.md"))
        save_file(made, new / WEIGHTS, metadata={"format": "pt"})
        (new / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        write(new, record)
        new.replace(target)
    except OSError as error:
        shutil.rmtree(new, ignore_errors=True)
        raise UserError(f"{target} cannot be written: {error.strerror or error}") from error
    return record


def _joined(key: str, parts: Sequence[torch.Tensor], factors: Sequence[float]) -> torch.Tensor:
    import torch

    if ".lora_A." in key:
        return torch.cat(list(parts), dim=0).contiguous()
    if ".lora_B." in key:
        scaled = [(part.float() * factor).to(part.dtype) for part, factor in zip(parts, factors, strict=True)]
        return torch.cat(scaled, dim=1).contiguous()
    raise UserError(f"the adapters hold '{key}' besides LoRA's two matrices, which has no average")


def _scale(config: Mapping[str, Any]) -> float:
    rank = int(config["r"])
    return float(config["lora_alpha"]) / (sqrt(rank) if config.get("use_rslora") else rank)


def _record(name: str, folder: Path) -> Provenance:
    found = read(folder)
    if found is None or not (folder / WEIGHTS).is_file():
        raise UserError(f"{name} is no LoRA adapter that was trained here; only adapters can be averaged")
    return found


def _config(name: str, folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    more = [key for key in OTHER if config.get(key)]
    if config.get("peft_type") != "LORA" or more or config.get("bias", "none") != "none":
        told = ", ".join(more) or f"{config.get('peft_type')} with bias {config.get('bias')}"
        raise UserError(f"{name} is no plain LoRA adapter ({told}); only those have an exact average")
    return config


def _alike(records: Mapping[str, Provenance], configs: Mapping[str, Mapping[str, Any]]) -> None:
    (first, record), *others = records.items()
    for name, other in others:
        for key, what in SAME.items():
            if getattr(record, key) != getattr(other, key):
                raise UserError(f"{first} and {name} differ in their {what}, so they have no average")
        if configs[name].get("fan_in_fan_out") != configs[first].get("fan_in_fan_out"):
            raise UserError(f"{first} and {name} store their weights in another order, so they have no average")


def _provenance(records: Sequence[Provenance], names: Sequence[str], weights: Sequence[float]) -> Provenance:
    """As the first, with the dialogues of all: what any of them has seen, their average has seen."""
    dialogues = sorted({digest for record in records for digest in record.dialogues})
    recipe = {**records[0].recipe, "name": LABEL, "of": list(names), "weights": list(weights)}
    data = {name: ", ".join(dict.fromkeys(getattr(r, name) for r in records)) for name in ("dataset", "split")}
    run = "+".join(record.run_id for record in records)
    return replace(records[0], run_id=run, dialogues=tuple(dialogues), recipe=recipe, **data)
