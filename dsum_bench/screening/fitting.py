"""The control ``constant-fit``: of the training summaries, the one that is the best answer to all dialogues."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import TYPE_CHECKING

from dsum_bench.adapters.build import read_options
from dsum_bench.adapters.controls import ConstantAdapter, ConstantFitAdapter
from dsum_bench.errors import ModelSkipped, UserError
from dsum_bench.metrics.base import Metric
from dsum_bench.spec import DatasetSpec, ModelSpec, RunSpec, Sample

if TYPE_CHECKING:
    from dsum_bench.plugins import Plugins
    from dsum_bench.registry.load import Registry

METRICS = {"ko": "rouge@mecab"}
"""What a sentence is chosen by, by language; words in all others."""


def fitted(run: RunSpec, registry: Registry, plugins: Plugins) -> ModelSpec:
    """The run's model with its sentence chosen: a ``constant`` under its own name.

    Raises:
        ModelSkipped: the dataset has no training summaries, or they are what is evaluated.
    """
    from dsum_bench.datasets.load import load
    from dsum_bench.metrics.choose import build

    options = read_options(ConstantFitAdapter, run.model)
    if options.split == run.split:
        raise ModelSkipped(f"its sentence would be chosen from split '{options.split}', which is the evaluated split")
    try:
        samples = load(registry.dataset(run.dataset), plugins, options.split)
    except UserError as error:
        raise ModelSkipped(f"its sentence is chosen from split '{options.split}': {error}") from None
    metric = build(plugins, METRICS.get(run.language, "rouge@whitespace"))
    text = best_sentence(samples, metric, options.candidates, options.others)
    return replace(run.model, adapter=ConstantAdapter.name, options={"text": text})


def can_be_fitted(model: ModelSpec, dataset: DatasetSpec, split: str, plugins: Plugins) -> bool:
    """Whether a dataset has what the model's sentence is chosen from, beside the split that is evaluated; True for
    every other model."""
    if model.adapter != ConstantFitAdapter.name:
        return True
    wanted = read_options(ConstantFitAdapter, model).split
    reader = plugins.datasets.get(dataset.format)
    return reader is not None and wanted != split and wanted in reader(dataset).splits()


def best_sentence(samples: Sequence[Sample], metric: Metric, candidates: int, others: int) -> str:
    """The reference with the highest mean against the references of other samples; of equal ones the first.

    candidates, others: how many are drawn of each, always the same ones.
    """
    draw = random.Random(0)
    from_samples = draw.sample(samples, min(candidates, len(samples)))
    judges = draw.sample(samples, min(others, len(samples)))

    def mean(sample: Sample) -> float:
        values = [metric.score(sample.references[0], judge)["mean"] for judge in judges if judge.id != sample.id]
        return fmean(values) if values else 0.0

    return max(from_samples, key=mean).references[0]
