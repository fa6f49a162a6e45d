"""Checks of the dialogues: against each other, and against what the model was trained on or shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from dsum_bench.checks.base import Check, Setup, share
from dsum_bench.fingerprints import dialogue_digest, prompt_fingerprint
from dsum_bench.prompting.likeness import Dialogues
from dsum_bench.provenance import Provenance, read
from dsum_bench.spec import Finding, RunSpec, Sample


class Duplicates(Check):
    """A dialogue occurs more than once."""

    name = "duplicates"
    mark = "D"
    level = "note"
    meaning = "dialogues occur twice"

    def data(self, run: RunSpec, samples: Sequence[Sample]) -> Finding | None:
        counts = Counter(dialogue_digest(s.dialogue) for s in samples)
        again = sum(n for n in counts.values() if n > 1)
        if not again:
            return None
        return self.found(
            f"{share(again, len(samples))} have the same dialogue as another sample: they count twice, and intervals "
            "are narrower than they should be",
            again,
            len(samples),
        )


class Overlap(Check):
    """Evaluated dialogues were trained on, or appear in the prompt as examples."""

    name = "overlap"
    mark = "O"
    level = "error"
    meaning = "evaluated on training data"

    def before(self, setup: Setup) -> Finding | None:
        ours = {s.id: dialogue_digest(s.dialogue) for s in setup.samples}
        seen = self._shown(setup)
        if seen:
            return self.found(
                f"{share(len(seen), len(ours))} appear in prompts as examples, with their summary, word by word or "
                f"nearly (sample {seen[0]}): take them out of the prompt, of the split it takes examples from, or of "
                "what is evaluated",
                len(seen),
                len(ours),
            )
        records = [record for place in setup.loaded.records if (record := read(place)) is not None]
        trained = {digest for record in records for digest in record.dialogues}
        seen = [i for i, digest in ours.items() if digest in trained]
        if not seen:
            return None
        where = ", ".join(dict.fromkeys(f"{record.dataset} {record.split}" for record in records))
        return self.found(
            f"{share(len(seen), len(ours))} were in its training data ({where}): it has seen "
            "the answers; evaluate on another split",
            len(seen),
            len(ours),
        )

    @staticmethod
    def _shown(setup: Setup) -> list[str]:
        """Ids of the samples that stand in some prompt as an example."""
        fixed = setup.run.prompt.examples if setup.run.prompt else ()
        chosen = (e for s in setup.samples for e in s.examples if e.id in setup.prompts[s.id].shown)
        shown = {example.dialogue for example in (*fixed, *chosen)}
        if not shown:
            return []
        evaluated = Dialogues([s.dialogue for s in setup.samples])
        found = {position for dialogue in shown for position in evaluated.copied(dialogue)}
        return [s.id for position, s in enumerate(setup.samples) if position in found]


class PromptChanged(Check):
    """A trained model is asked in another way than it was trained with."""

    name = "prompt-changed"
    mark = "Q"
    level = "error"
    meaning = "other prompt than in training"

    def before(self, setup: Setup) -> Finding | None:
        records = (read(place) for place in setup.loaded.records)
        return next(filter(None, (self._of(record, setup) for record in records if record is not None)), None)

    def _of(self, record: Provenance, setup: Setup) -> Finding | None:
        changed = [
            what
            for what, differs in (
                (
                    f"adapter '{setup.run.model.adapter}', not '{record.adapter}'",
                    setup.run.model.adapter != record.adapter,
                ),
                (
                    "another prompt text",
                    prompt_fingerprint(setup.run.prompt, setup.run.prompt_format) != record.prompt,
                ),
            )
            if differs
        ]
        if not changed:
            return None
        return self.found(
            f"it was trained with another prompt: now {' and '.join(changed)}; screen it with the prompt of its "
            f"training run {record.run_id}"
        )


CHECKS: tuple[type[Check], ...] = (Duplicates, Overlap, PromptChanged)
