"""Training rows with the summaries of a stored run in place of their references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dsum_bench.errors import UserError
from dsum_bench.fingerprints import dialogue_digest
from dsum_bench.spec import Sample, Targets


def applied(targets: Targets, samples: Sequence[Sample]) -> tuple[Sample, ...]:
    """The samples whose dialogue has such a summary, with it as their one reference.

    Raises:
        UserError: none has.
    """
    keyed = ((sample, targets.summaries.get(dialogue_digest(sample.dialogue))) for sample in samples)
    found = tuple(replace(sample, references=(text,)) for sample, text in keyed if text is not None)
    if not found:
        raise UserError(
            f"--targets {targets.run_id}: no training dialogue is among the {len(targets.summaries)} that "
            f"{targets.model} has a summary for; screen it on the training split"
        )
    return found
