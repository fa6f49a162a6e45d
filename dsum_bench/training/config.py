"""Options of ``finetune`` in a file: written beside every result, read by ``--config``."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsum_bench.errors import UserError, suggestion

if TYPE_CHECKING:
    from dsum_bench.spec import TrainingSpec
    from dsum_bench.training.prepare import TrainingRequest

FILE = "finetune.toml"
HEAD = """\
# dsum-bench finetune --config FILE makes this run again, with data and models of the same names in the registry.
"""


def written(request: TrainingRequest, spec: TrainingSpec) -> str:
    """The file of a run: what was asked for, with everything that was left to defaults as it was taken."""
    prompt = request.prompt_text or (spec.prompt.name if spec.prompt else None)
    values: dict[str, object] = {
        "model": request.model,
        "recipe": spec.recipe.name,
        "dataset": spec.dataset,
        "split": spec.split,
        "dev_split": request.dev_split,
        "limit": request.limit,
        "sample": request.sample,
        "dev_limit": request.dev_limit,
        "max_steps": spec.max_steps,
        # The runs of all folds are made again together, under the names that they get.
        "name": spec.name if request.fold is None else None,
        "targets": request.targets.run_id if request.targets else None,
        "min_score": request.targets.least if request.targets else None,
        "preferences": request.preferences.runs if request.preferences else None,
        "rank_by": request.preferences.metric if request.preferences else None,
        "min_gap": request.preferences.gap if request.preferences else None,
        "folds": request.fold.count if request.fold else None,
        "fold_by": request.fold.by if request.fold else None,
        "prompt": prompt,
        "prompt_format": spec.prompt_format if spec.prompt else None,
        "seed": spec.seed,
        "dtype": spec.placement.dtype,
    }
    lines = [f"{key} = {_toml(value)}" for key, value in values.items() if value is not None]
    lines += ["", "[settings]"]
    lines += [f"{key} = {_toml(value)}" for key, value in spec.recipe.params.items() if value is not None]
    return HEAD + "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    # JSON's strings, numbers, booleans and flat lists are TOML's too.
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False).replace("\x7f", "\\u007f")


def read(path: Path, known: Sequence[str]) -> dict[str, Any]:
    """The options of a file.

    known: names of the options that there are, as ``Bench.finetune`` calls them.

    Raises:
        UserError: it cannot be read, or a key is no option of ``finetune``.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"--config {path}: cannot be read ({error})") from None
    for key in found:
        if key not in known:
            raise UserError(f"--config {path}: unknown key '{key}'{suggestion(key, known)}")
    for key in ("settings", "decoding_settings"):
        if isinstance(found.get(key), Mapping):
            found[key] = tuple(f"{name}={_toml(value)}" for name, value in found[key].items())
    return found
