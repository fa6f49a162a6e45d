"""A prompt made ready for the samples of a run, or refused: every field is there, and its length is a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dsum_bench.adapters.build import read_options
from dsum_bench.adapters.fields import DERIVED, LENGTH, of_data
from dsum_bench.errors import UserError, did_you_mean
from dsum_bench.fingerprints import asked_digest
from dsum_bench.prompting.length import fitted
from dsum_bench.spec import Example, LengthRule, ModelSpec, PromptSpec, Sample

if TYPE_CHECKING:
    from dsum_bench.plugins import Plugins
    from dsum_bench.registry.load import Registry


@dataclass(frozen=True, slots=True)
class Asked:
    """What a model is asked about some samples.

    prompt: with its length fitted. fields: names of the columns whose values prompts hold. examples: chosen for each
    sample, by its id. digest: over both, '' for none.
    """

    prompt: PromptSpec | None
    fields: tuple[str, ...] = ()
    examples: Mapping[str, tuple[Example, ...]] = field(default_factory=dict)
    digest: str = ""

    def shown(self, samples: Sequence[Sample]) -> tuple[Sample, ...]:
        """The samples with the examples that were chosen for them."""
        return tuple(replace(s, examples=self.examples.get(s.id, ())) for s in samples)


def asked(
    model: ModelSpec,
    prompt: PromptSpec | None,
    samples: Sequence[Sample],
    dataset: str,
    registry: Registry,
    plugins: Plugins,
    held: Sequence[Sample] | None = None,
) -> Asked:
    """Make a prompt ready for samples of a dataset.

    held: rows that are evaluated and must be in no prompt as an example; all samples by default.

    Raises:
        UserError: a sample lacks a field that the prompt has a place for (names file and row), an example does, or
            there is nothing to fit a length to.
    """
    adapter = plugins.get("adapter", model.adapter, f"{model.origin}: model '{model.name}'")
    names = adapter.fields(prompt, read_options(adapter, model))
    whose = f"prompt '{prompt.name}'" if prompt is not None else f"model '{model.name}'"
    fields = tuple(name for name in names if name not in DERIVED)
    for sample in samples:
        _check(sample, fields, whose)
    if prompt is None:
        return Asked(None, fields, digest=asked_digest(samples, fields))
    prompt = _ready(prompt, names, dataset, registry, plugins)
    examples = _examples(prompt, names, samples, dataset, registry, plugins, held)
    made = Asked(prompt, fields, examples)
    return replace(made, digest=asked_digest(made.shown(samples), fields))


def _check(sample: Sample, fields: Sequence[str], whose: str) -> None:
    there = of_data(sample)
    for name in fields:
        if name not in there:
            known = ", ".join(f"{{{known}}}" for known in (*there, *DERIVED))
            near = did_you_mean(name, [*there, *DERIVED]).removesuffix("?")
            where = sample.where or f"sample {sample.id}"
            raise UserError(
                f"{where}: no {name}, which {whose} asks for with {{{name}}}; there are {known}{near}; double the "
                f"braces ({{{{{name}}}}}) where they are meant as they stand"
            )


def _ready(prompt: PromptSpec, names: Sequence[str], dataset: str, registry: Registry, plugins: Plugins) -> PromptSpec:
    """The prompt with its length fitted and its own examples checked."""
    where = f"{prompt.origin}: prompt '{prompt.name}'" if prompt.origin else f"prompt '{prompt.name}'"
    for number, example in enumerate(prompt.examples, 1):
        missing = next((n for n in names if n not in DERIVED and n not in example.fields), None)
        if missing is not None:
            raise UserError(
                f"{where}: example {number} has no {missing}, which the prompt asks for; add fields = "
                f'{{ {missing} = "..." }} to it'
            )
    if LENGTH not in names:
        if prompt.length is not None:
            raise UserError(f"{where} has a table 'length', and no {{length}} in its texts")
        return prompt
    rule = prompt.length or LengthRule()
    if rule.fit:
        from dsum_bench.datasets.load import load

        spec = registry.dataset(dataset)
        try:
            rule = fitted(rule, load(spec, plugins, rule.fit))
        except UserError as error:
            raise UserError(f"{where}: its length is fitted to split '{rule.fit}' of {dataset}: {error}") from None
    return replace(prompt, length=rule)


def _examples(
    prompt: PromptSpec,
    names: Sequence[str],
    samples: Sequence[Sample],
    dataset: str,
    registry: Registry,
    plugins: Plugins,
    held: Sequence[Sample] | None,
) -> Mapping[str, tuple[Example, ...]]:
    """The examples of every sample, where the prompt has them chosen."""
    choice = prompt.choose
    if choice is None:
        return {}
    from dsum_bench.datasets.load import load
    from dsum_bench.prompting.examples import TOKENIZERS, remembered

    where = f"{prompt.origin}: prompt '{prompt.name}'" if prompt.origin else f"prompt '{prompt.name}'"
    spec = registry.dataset(dataset)
    try:
        pool = load(spec, plugins, choice.split, references=False)
        cut = plugins.get("tokenizer", TOKENIZERS.get(spec.language, "whitespace"))
        kept = None if held is None else tuple(held)
        return remembered(choice, tuple(samples), tuple(pool), tuple(names), cut, kept)
    except UserError as error:
        raise UserError(f"{where} takes examples from split '{choice.split}' of {dataset}: {error}") from None
