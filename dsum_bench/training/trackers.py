"""Places besides the results database that the curve goes to, ``report`` of a recipe. No torch."""

from __future__ import annotations

import hashlib
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsum_bench.errors import UserError
from dsum_bench.spec import RecipeSpec

if TYPE_CHECKING:
    from dsum_bench.training.job import TrainingJob

PACKAGES = {"tensorboard": ("tensorboardX", "tensorboard"), "wandb": ("wandb",)}
OFFLINE = ("offline", "dryrun", "disabled")


def check(recipe: RecipeSpec) -> None:
    """Refuse what would fail once the weights are loaded.

    Raises:
        UserError: a package is missing, or Weights & Biases would ask who one is.
    """
    report: Any = recipe.params.get("report", ())
    for place in report:
        if not any(find_spec(name) for name in PACKAGES[place]):
            raise UserError(f"report = {place}: the package is missing; pip install 'dsum-bench[{place}]'")
    if "wandb" in report and not _wandb_ready():
        raise UserError("report = wandb: nobody is logged in; run `wandb login`, or set WANDB_MODE=offline")


def prepare(job: TrainingJob) -> None:
    """Have a run that goes on stay one run in Weights & Biases too."""
    if "wandb" in job.spec.recipe.params.get("report", ()):  # type: ignore[operator]
        digest = hashlib.sha256(str(job.work).encode("utf-8", "surrogateescape")).hexdigest()[:16]
        os.environ.setdefault("WANDB_RUN_ID", digest)
        os.environ.setdefault("WANDB_RESUME", "allow")
        os.environ.setdefault("WANDB_DIR", str(job.work))


def _wandb_ready() -> bool:
    if os.environ.get("WANDB_MODE", "").lower() in OFFLINE or os.environ.get("WANDB_API_KEY"):
        return True
    host = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").partition("://")[2].partition("/")[0]
    for name in (os.environ.get("NETRC", "~/.netrc"), "~/_netrc"):
        file = Path(name).expanduser()
        if file.is_file() and host in file.read_text(encoding="utf-8", errors="replace"):
            return True
    return False
