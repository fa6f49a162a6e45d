"""From what a user typed to training specs, all of it checked before a worker starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from typing import Any

from dsum_bench.adapters.prompts import default_prompt
from dsum_bench.datasets.load import Selection, load, select
from dsum_bench.engines.base import TrainableEngine
from dsum_bench.errors import ModelError, ModelSkipped, UserError
from dsum_bench.fingerprints import ordered_fingerprint
from dsum_bench.machine import Machine
from dsum_bench.plugins import Plugins
from dsum_bench.prompting.asking import asked
from dsum_bench.registry.load import Registry
from dsum_bench.registry.tables import with_settings
from dsum_bench.spec import (
    Dtype,
    ModelSpec,
    Placement,
    Preferences,
    PromptFormat,
    PromptSpec,
    RecipeSpec,
    Targets,
    TrainingSpec,
)
from dsum_bench.training import folds, pairs, sharding, targets, trackers
from dsum_bench.training.continuing import fingerprinted, shaped, start_of
from dsum_bench.training.folds import Fold
from dsum_bench.training.mixing import mixed
from dsum_bench.training.params import MOVING
from dsum_bench.training.sessions import check_rows


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """What is to be trained, as typed.

    dataset: a name, or a mixture such as ``a:0.7,b:0.3``. dev_limit: evaluation rows, 0 for none.
    prompt_text: of a prompt given as text, which has no name in the registry. fold: part of the rows to leave out.
    targets: summaries of a stored run, which are learnt instead of the references. preferences: pairs, likewise.
    """

    model: str
    recipe: str | None
    dataset: str
    split: str
    dev_split: str | None
    limit: int | None
    sample: int | None
    dev_limit: int
    prompt: str | None
    prompt_format: PromptFormat
    settings: tuple[str, ...]
    max_steps: int | None
    seed: int
    dtype: Dtype | None
    prompt_text: str | None = None
    fold: Fold | None = None
    targets: Targets | None = None
    preferences: Preferences | None = None


@dataclass(frozen=True, slots=True)
class PreparedTraining:
    """A training run and its rows, checked. request: what it was made from. held: rows that a fold leaves out."""

    request: TrainingRequest
    spec: TrainingSpec
    train: Selection
    dev: Selection | None
    held: Selection | None = None


def prepare(wanted: TrainingRequest, registry: Registry, plugins: Plugins, machine: Machine) -> PreparedTraining:
    """Check everything that can be checked without loading a model.

    Raises:
        UserError: unknown names or keys, rows that cannot be trained on, a model that cannot run here.
    """
    model, start = start_of(registry.model(wanted.model), registry)
    adapter = plugins.get("adapter", model.adapter)
    if adapter.architecture == "none" or not issubclass(plugins.get("engine", model.engine), TrainableEngine):
        raise UserError(f"{model.name} has no weights that could be trained")
    recipe = complete(_recipe(wanted, registry, plugins), plugins, wanted.settings)
    pairs.check(recipe, plugins.trainers[recipe.trainer], wanted.preferences)
    if recipe.params.get("packing") and adapter.architecture != "decoder":
        raise UserError(
            f"packing lays rows one after the other, and the encoder of {model.name} would read them as one; "
            "leave packing off"
        )
    if start is not None:
        trainer = plugins.trainers[recipe.trainer]
        recipe = shaped(recipe, start, trainer.keeps, trainer.quantization, wanted.settings)
    if wrong := _refusal(recipe, plugins):
        raise UserError(wrong)
    if sharding.asked():
        trainer = plugins.trainers[recipe.trainer]
        reason = sharding.refusal(recipe.trainer, trainer.keeps, trainer.Params(**dict[str, Any](recipe.params)))
        if reason:
            raise UserError(f"FSDP: {reason}")
    dataset, train = mixed(wanted.dataset, registry, plugins, wanted.split, wanted.limit, wanted.sample, wanted.seed)
    check_rows(len(train.samples), wanted.dataset, wanted.split)
    if wanted.targets is not None:
        learnt = targets.applied(wanted.targets, train.samples)
        train = Selection(learnt, f"{train.label}, {len(learnt)} with summaries of {wanted.targets.model}")
    if wanted.preferences is not None:
        learnt = pairs.applied(wanted.preferences, train.samples)
        train = Selection(learnt, f"{train.label}, {len(learnt)} with pairs of {', '.join(wanted.preferences.models)}")
    held = None
    if wanted.fold is not None:
        train, held = folds.split(train, wanted.fold, wanted.seed)
    dev = None
    if wanted.dev_limit:
        dev = select(
            load(dataset, plugins, wanted.dev_split or dataset.default_split), wanted.dev_limit, None, wanted.seed
        )
    if recipe.params["choose_by"] not in ("auto", "last") and dev is None:
        raise UserError("choose_by needs evaluation rows: give --dev-limit a number above 0")
    if recipe.params["patience"] and (dev is None or recipe.params["choose_by"] == "last"):
        raise UserError("patience needs evaluation rows and something to choose by: --dev-limit above 0, choose_by")
    trackers.check(recipe)
    style = adapter.prompt_style
    prompt: PromptSpec | None = None
    if style != "none":
        prompt = registry.prompt(wanted.prompt or model.prompt or default_prompt(style, dataset.language))
    evaluated = dev.samples if dev else ()
    what = asked(model, prompt, train.samples, dataset.name, registry, plugins, held=evaluated)
    train = replace(train, samples=what.shown(train.samples))
    if dev is not None:
        shown = asked(model, prompt, dev.samples, dataset.name, registry, plugins).shown(dev.samples)
        dev = replace(dev, samples=shown)
    trained, placement, weights = _placed(model, recipe, plugins, machine, wanted.dtype)
    if recipe.params["liger"] and not placement.device.startswith("cuda"):
        raise UserError(f"liger = true needs a GPU, and {model.name} is trained on {placement.device}")
    if start is not None:
        start = fingerprinted(start)
    spec = TrainingSpec(
        model=trained,
        recipe=recipe,
        placement=placement,
        weights=weights,
        dataset=wanted.dataset,
        language=dataset.language,
        split=wanted.split,
        selection=train.label,
        train_fingerprint=ordered_fingerprint(train.samples, what.fields),
        dev_fingerprint=ordered_fingerprint(dev.samples, what.fields) if dev else "",
        prompt=what.prompt,
        prompt_format=wanted.prompt_format if style == "chat" else "template",
        seed=wanted.seed,
        max_steps=wanted.max_steps,
        start=start,
        targets=_told(wanted.targets),
        preferences=f"runs {', '.join(wanted.preferences.runs)}: {wanted.preferences}" if wanted.preferences else "",
    )
    return PreparedTraining(wanted, spec, train, dev, held)


def _recipe(wanted: TrainingRequest, registry: Registry, plugins: Plugins) -> RecipeSpec:
    """The recipe that was asked for; the model's own, or its like for pairs, where none was."""
    if wanted.recipe is not None:
        return registry.recipe(wanted.recipe)
    own = registry.recipe(registry.model(wanted.model).recipe)
    if wanted.preferences is None:
        return own
    return registry.recipe(pairs.recipe_for(plugins.get("trainer", own.trainer).quantization))


def complete(recipe: RecipeSpec, plugins: Plugins, settings: Sequence[str]) -> RecipeSpec:
    """The recipe with all parameters, those of ``--set`` on top.

    Raises:
        UserError: an unknown key, a wrong type or a value that makes no sense.
    """
    trainer = plugins.get("trainer", recipe.trainer, f"recipe '{recipe.name}'")
    params = with_settings(trainer.Params, recipe.params, settings)
    try:
        return replace(recipe, params=asdict(trainer.Params(**params)))
    except ValueError as error:
        raise UserError(f"recipe '{recipe.name}': {error}") from None


def _told(learnt: Targets | None) -> str:
    """Where targets come from, as the record beside the weights has it."""
    if learnt is None:
        return ""
    least = f", at least {', '.join(learnt.least)}" if learnt.least else ""
    return f"run {learnt.run_id}: {learnt}{least}"


def _refusal(recipe: RecipeSpec, plugins: Plugins) -> str | None:
    """What parameters ask of a trainer that it cannot do."""
    trainer = plugins.trainers[recipe.trainer]
    init = recipe.params.get("init", "default")
    if init in MOVING and (trainer.quantization != "none" or recipe.trainer == "dora"):
        return f"init = {init} takes the base's weights apart, which trainer '{recipe.trainer}' cannot; use recipe lora"
    if recipe.params["attention"] == "flash_attention_2" and find_spec("flash_attn") is None:
        return "attention = flash_attention_2: the package flash-attn is missing; pip install flash-attn, or use sdpa"
    if recipe.params["liger"] and find_spec("liger_kernel") is None:
        return "liger = true: the package liger-kernel is missing; pip install 'dsum-bench[liger]'"
    return None


def _placed(
    model: ModelSpec, recipe: RecipeSpec, plugins: Plugins, machine: Machine, dtype: Dtype | None
) -> tuple[ModelSpec, Placement, str]:
    """The model as it is trained, where, and the fingerprint of its weights."""
    trainer = plugins.trainers[recipe.trainer]
    # Weights that are all trained are held in float32; a smaller step than 16 bits can hold would be lost.
    chosen: Dtype = dtype or ("float32" if trainer.keeps == "checkpoint" else model.dtype)
    asked = replace(model, quantization=trainer.quantization, dtype=chosen)
    engine = plugins.engines[model.engine]
    try:
        plan = engine.plan(asked, machine, 1)
        wrong = plugins.adapters[model.adapter].refuses(plan.config) if plan.config else None
        if wrong:
            raise ModelError(f"adapter '{model.adapter}' does not fit its checkpoint: {wrong}")
    except (ModelSkipped, ModelError) as error:
        raise UserError(f"{model.name} cannot be trained here: {error}") from None
    return replace(asked, revision=plan.revision or model.revision), plan.placement, plan.weights
