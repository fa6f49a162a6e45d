"""Several runs made into one: for each sample one of their summaries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from dsum_bench import __version__
from dsum_bench.combining import consensus
from dsum_bench.errors import UserError, plugin_code
from dsum_bench.metrics.base import Metric
from dsum_bench.metrics.bounds import scored_part
from dsum_bench.screening import derived
from dsum_bench.screening.preflight import NOWHERE, Candidate
from dsum_bench.spec import Derivation, ModelSpec, Output, RunSpec, Sample
from dsum_bench.store.records import RunRecord

if TYPE_CHECKING:
    from dsum_bench.combining.benefit import Benefit
    from dsum_bench.combining.routing import Floats
    from dsum_bench.screening.sweep import RunResult

Way = Literal["mbr", "vote", "route", "shorter"]
WAYS: tuple[Way, ...] = get_args(Way)
LONGEST_NAME = 40


@dataclass(frozen=True, slots=True)
class Member:
    """A run to be combined, with what it has written. weight: of all its summaries together."""

    record: RunRecord
    outputs: Mapping[str, Output]
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to choose. metric and measure: by which summaries are compared with each other, and the router learns.
    learn_from: runs of the same members, in their order, on the rows to learn from, learn_samples."""

    way: Way
    metric: Metric | None = None
    measure: str = "mean"
    learn_from: tuple[Member, ...] = ()
    learn_samples: tuple[Sample, ...] = ()


@dataclass(frozen=True, slots=True)
class Combined:
    """A run made of several. chosen: how many summaries were taken from each member, in their order.

    benefit: against the best member by the measure that ranks; None without references.
    """

    members: tuple[RunRecord, ...]
    run: RunResult
    chosen: tuple[int, ...]
    benefit: Benefit | None


def check(members: Sequence[RunRecord], way: Way) -> None:
    """Raise UserError for runs that cannot be combined this way."""
    first = members[0]
    several = first.row.decoding_params.get("candidates", 1) > 1 and not first.spec.get("derived")
    if len(members) == 1 and not several:
        raise UserError(
            f"run {first.row.run_id} of {first.row.model} has one summary per sample; give several runs, or sample "
            "with --decoding sampling --set candidates=16"
        )
    if len(members) == 1 and way == "route":
        raise UserError("a router needs at least two runs")
    alike(members)


def alike(members: Sequence[RunRecord]) -> None:
    """Raise UserError where one run is named twice, or two are of other dialogues or references."""
    first = members[0]
    for place, record in enumerate(members):
        if record.row.run_id in {m.row.run_id for m in members[:place]}:
            raise UserError(f"run {record.row.run_id} of {record.row.model} is named twice")
        for key, what in (("dataset_fingerprint", "dialogues"), ("references_fingerprint", "references")):
            if record.spec[key] != first.spec[key]:
                raise UserError(
                    f"{first.row.model} ({first.row.run_id}) and {record.row.model} ({record.row.run_id}) do not have "
                    f"the same {what}"
                )


def choose(recipe: Recipe, members: Sequence[Member], samples: Sequence[Sample]) -> dict[str, tuple[int, Output]]:
    """For each sample the place of a member and its output.

    Raises:
        UserError: too few rows to learn a router from.
    """
    if recipe.way == "route":
        places = _routed(recipe, members, samples)
        return {s.id: (i, _each(members[i].outputs[s.id])[0]) for s, i in zip(samples, places, strict=True)}
    found = {}
    for sample in samples:
        pool = _pool(members, sample.id)
        place, output, _ = pool[_best(recipe, pool, sample)]
        found[sample.id] = (place, output)
    return found


def _pool(members: Sequence[Member], sample_id: str) -> list[tuple[int, Output, float]]:
    """Every summary of a sample: whose it is, its output, and its share of that member's weight."""
    found = []
    for place, member in enumerate(members):
        texts = _each(member.outputs[sample_id])
        found += [(place, text, member.weight / len(texts)) for text in texts]
    return found


def _each(output: Output) -> list[Output]:
    """An output and its drafts, each as an output of its own."""
    made = output.generation
    others = [
        replace(
            output,
            generation=replace(made, text=d.text, new_tokens=d.new_tokens, finish=d.finish),
            summary=d.summary,
            drafts=(),
        )
        for d in output.drafts
    ]
    return [replace(output, drafts=()), *others]


def _best(recipe: Recipe, pool: Sequence[tuple[int, Output, float]], sample: Sample) -> int:
    texts = [scored_part(output.summary) for _, output, _ in pool]
    if recipe.way == "shorter":
        return consensus.shorter(texts)
    values = _mutual(recipe, texts, sample)
    weights = [weight for *_, weight in pool]
    return consensus.mbr(values, weights) if recipe.way == "mbr" else consensus.vote(values, weights)


def _mutual(recipe: Recipe, texts: Sequence[str], sample: Sample) -> Sequence[Sequence[float]]:
    assert recipe.metric is not None
    with _named(recipe.metric, sample):
        return recipe.metric.pairwise(texts, replace(sample, references=()))[recipe.measure]


@contextmanager
def _named(metric: Metric, sample: Sample) -> Iterator[None]:
    """Around a metric, which may be a plugin: what it raises becomes a sentence."""
    try:
        with plugin_code():
            yield
    except Exception as error:
        where = f"metric '{metric.name}' failed on sample '{sample.id}'"
        raise UserError(f"{where}: {type(error).__name__}: {error}") from error


# -- routing --------------------------------------------------------------------------------------------------


def _routed(recipe: Recipe, members: Sequence[Member], samples: Sequence[Sample]) -> list[int]:
    from dsum_bench.combining import routing

    rows = _features(recipe, members, samples)
    try:
        if not recipe.learn_from:
            return routing.cross_fitted(samples, rows, _scores(recipe, members, samples))
        known = [s for s in recipe.learn_samples if s.references]
        kept = [known[i] for i in routing.unseen(known, samples)]
        learnt = _features(recipe, recipe.learn_from, kept) if kept else rows[:0]
        router = routing.learn(learnt, _scores(recipe, recipe.learn_from, kept))
        return [router.choose(row) for row in rows]
    except ValueError as error:
        raise UserError(
            f"{error}; rows without references do not count, nor do copies of the dialogues to be routed (name runs on "
            "other rows with --learn-from)"
        ) from None


def _features(recipe: Recipe, members: Sequence[Member], samples: Sequence[Sample]) -> Floats:
    import numpy as np

    from dsum_bench.combining import routing

    made = []
    for sample in samples:
        texts = [scored_part(m.outputs[sample.id].summary) for m in members]
        made.append(routing.features(sample, texts, _mutual(recipe, texts, sample)))
    return np.array(made)


def _scores(recipe: Recipe, members: Sequence[Member], samples: Sequence[Sample]) -> Floats:
    """Scores of each member, shape (samples, members)."""
    import numpy as np

    assert recipe.metric is not None
    if not all(s.references for s in samples):
        raise UserError(
            "these dialogues have no references to train the router on; give runs on other rows with --learn-from"
        )
    rows = []
    for sample in samples:
        with _named(recipe.metric, sample):
            texts = [scored_part(m.outputs[sample.id].summary) for m in members]
            rows.append([recipe.metric.score(text, sample)[recipe.measure] for text in texts])
    return np.array(rows).reshape(len(samples), len(members))


# -- as a run -------------------------------------------------------------------------------------------------


def candidate(recipe: Recipe, members: Sequence[Member], name: str | None) -> Candidate:
    """The run that a combination is, with its lineage."""
    source = derived.run_spec(members[0].record)
    texts = [m.outputs for m in (*members, *recipe.learn_from)]
    summaries = sum(1 + max(len(o.drafts) for o in m.outputs.values()) for m in members)
    settings: dict[str, object] = {"weights": [m.weight for m in members], "summaries": summaries}
    if recipe.metric is not None:
        settings |= {"metric": recipe.metric.signature, "measure": recipe.measure}
    if recipe.way == "route":
        from dsum_bench.combining import routing

        learnt = [m.record.row.run_id for m in recipe.learn_from]
        settings |= {"features": routing.VERSION, "learn_from": learnt, "folds": routing.FOLDS}
    keys = tuple(m.record.row.run_id for m in members)
    called = name or name_of(members, recipe.way)
    model = ModelSpec(called, "combined", source=keys, engine="combined", origin="combine")
    run = RunSpec(
        model=model,
        dataset=source.dataset,
        language=source.language,
        split=source.split,
        selection=source.selection,
        n_samples=source.n_samples,
        dataset_fingerprint=source.dataset_fingerprint,
        references_fingerprint=source.references_fingerprint,
        prompt=None,
        prompt_format="template",
        decoding=None,
        placement=NOWHERE,
        weights="",
        seed=0,
        versions={"dsum-bench": __version__},
        derived=Derivation("combine", recipe.way, keys, settings, derived.digest(*texts)),
    )
    return Candidate(run, control=False)


def name_of(members: Sequence[Member], way: Way) -> str:
    """``kobart+kot5+mbr``, or ``5-runs+mbr`` where that would be long."""
    joined = "+".join([*(m.record.row.model for m in members), way])
    return joined if len(joined) <= LONGEST_NAME else f"{len(members)}-runs+{way}"


def outputs(chosen: Mapping[str, tuple[int, Output]], members: Sequence[Member]) -> dict[str, Output]:
    """The chosen outputs; each took the time of all members together."""
    made = {}
    for sample_id, (_, output) in chosen.items():
        seconds = sum(m.outputs[sample_id].generation.seconds for m in members)
        made[sample_id] = replace(output, generation=replace(output.generation, seconds=seconds))
    return made


def tested(path: Path, members: Sequence[RunRecord], combined: RunRecord, metric: str, measure: str) -> Benefit:
    """The combination against its best member, by their stored scores."""
    from dsum_bench.combining.benefit import benefit
    from dsum_bench.store.pairs import together

    found = together(path, [*members, combined], metric, measure)
    scores = [[s.scores[i] for s in found.samples] for i in range(len(members) + 1)]
    return benefit(scores[:-1], scores[-1])
