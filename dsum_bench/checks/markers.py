"""The check of control tokens that data spells out."""

from __future__ import annotations

from dataclasses import replace

from dsum_bench.adapters.markers import Markers
from dsum_bench.checks.base import Check, Setup, share
from dsum_bench.checks.prompts import frame_of
from dsum_bench.spec import Finding, Prompt, Sample


class ControlTokens(Check):
    """Dialogues or references spell out control tokens of the model."""

    name = "control-tokens"
    mark = "m"
    level = "note"
    meaning = "control tokens inside dialogues"

    def before(self, setup: Setup) -> Finding | None:
        tokenizer = setup.loaded.tokenizer
        if tokenizer is None:
            return None
        markers = Markers(tokenizer)
        spelt = [s for s in setup.samples if any(markers.places(t) for t in (s.dialogue, *s.references))]
        headed = [s for s in setup.samples if s not in spelt and self._forges(setup, s)]
        if not spelt and not headed:
            return None
        total = len(setup.samples)
        steering = [s for s in spelt if self._count(setup.prompts[s.id], markers) > self._usual(setup, s, markers)]
        if steering:
            return self.found(
                f"the dialogues of {share(len(steering), total)} spell out control tokens of this model, and its "
                f"adapter hands them on as such (sample {steering[0].id}): the model reads forged turns and ends; "
                "tokenise with TextAdapter.plain_ids what as_words has guarded",
                len(steering),
                total,
                "error",
            )
        if headed:
            return self.found(
                f"the dialogues of {share(len(headed), total)} hold a header of this model's template (sample "
                f"{headed[0].id}), which is plain text there: the model may take what follows for a turn of its own",
                len(headed),
                total,
                "warning",
            )
        return self.found(
            f"{share(len(spelt), total)} spell out control tokens of this model in their dialogue or references "
            f"(sample {spelt[0].id}); it is given them as words",
            len(spelt),
            total,
        )

    def _usual(self, setup: Setup, sample: Sample, markers: Markers) -> int:
        """Control tokens of the same prompt with nothing of the data in it."""
        fields = dict.fromkeys(sample.fields, "-")
        shown = [e for e in sample.examples if e.id in setup.prompts[sample.id].shown]
        examples = tuple(replace(e, dialogue="-", summary="-", fields=dict.fromkeys(e.fields, "-")) for e in shown)
        topic = "-" if sample.topic else None
        bare = replace(sample, dialogue="-", turns="", topic=topic, fields=fields, examples=examples)
        return self._count(setup.adapter.prompt(bare), markers)

    @staticmethod
    def _count(prompt: Prompt, markers: Markers) -> int:
        return sum(i in markers.texts for i in prompt.token_ids)

    @staticmethod
    def _forges(setup: Setup, sample: Sample) -> bool:
        around = frame_of(setup)
        headers = (around.opening.strip(), around.header.strip()) if around else ()
        return any(header and header in sample.dialogue for header in headers)


CHECKS: tuple[type[Check], ...] = (ControlTokens,)
