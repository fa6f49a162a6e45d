"""Checks of what a prompt is made of: the whole dialogue, and one template around it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import dropwhile
from typing import Any

from dsum_bench.adapters.markers import Markers
from dsum_bench.adapters.rendering import render
from dsum_bench.checks.base import Check, Setup, share
from dsum_bench.checks.prompts import decoded, frame_of, through
from dsum_bench.dialogue import split_turns
from dsum_bench.spec import Finding, Prompt, Sample


class DialogueCut(Check):
    """Prompts lack a part of their dialogue, and nothing says so."""

    name = "dialogue-cut"
    mark = "d"
    level = "error"
    meaning = "dialogue not whole in prompt"

    def before(self, setup: Setup) -> Finding | None:
        whole = [s for s in setup.samples if _untrimmed(setup.prompts[s.id])]
        lost = {s.id: left for s in whole if (left := self._missing(setup, s))}
        if not lost:
            return None
        turns = sum(lost.values())
        return self.found(
            f"the prompts of {share(len(lost), len(setup.samples))} lack {turns} turns of their dialogues in whole or "
            f"part (sample {next(iter(lost))}), and do not say that they were trimmed: the adapter cuts or changes the "
            "dialogue; hand it on as it is, TextAdapter.prompt trims what does not fit and records it",
            len(lost),
            len(setup.samples),
        )

    @staticmethod
    def _missing(setup: Setup, sample: Sample) -> int:
        """Turns of which the prompt does not have all the words."""
        prompt, tokenizer = setup.prompts[sample.id], setup.loaded.tokenizer
        if tokenizer is None or not prompt.token_ids:
            said = _flat(prompt.text)
            turns = split_turns(sample.dialogue, sample.turns)
            return sum(
                _flat(t) not in said and _flat(json.dumps(t, ensure_ascii=False)[1:-1]) not in said for t in turns
            )
        said = _flat(decoded(tokenizer, prompt.token_ids))
        if _flat(sample.dialogue) in said or _flat(through(tokenizer, sample.dialogue)) in said:
            return 0
        turns = split_turns(sample.dialogue, sample.turns)
        return sum(_flat(t) not in said and _flat(through(tokenizer, t)) not in said for t in turns)


def _untrimmed(prompt: Prompt) -> bool:
    return not prompt.trimmed_turns and not prompt.trimmed_chars


def _flat(text: str) -> str:
    return "".join(text.split())


class TemplateTwice(Check):
    """The prompt has control tokens or headers of a chat template beside those of the template itself."""

    name = "template-twice"
    mark = "w"
    level = "error"
    meaning = "a template inside the template"

    def before(self, setup: Setup) -> Finding | None:
        around = frame_of(setup)
        if around is None or setup.run.prompt_format == "raw" or not setup.prompts:
            return None
        tokenizer = setup.loaded.tokenizer
        expected = self._expected(setup)
        if expected is None:
            return None
        text, ids = expected
        made = setup.adapter.prompt(replace(setup.samples[0], dialogue="-", turns="", examples=()))
        markers = Markers(tokenizer).texts
        # BOS at the beginning is the check bos's business; a family may need one that its template does not write.
        ours, theirs = (Counter(i for i in _after_bos(t, tokenizer) if i in markers) for t in (made.token_ids, ids))
        more = ours - theirs
        headers = [h for h in (around.opening.strip(), around.header.strip()) if h]
        said = decoded(tokenizer, made.token_ids)
        doubled = [h for h in headers if not more and said.count(h) > text.count(h)]
        if not more and not doubled:
            return None
        what = ", ".join(f"'{markers[i]}'" for i in more) or f"'{doubled[0]}'"
        return self.found(
            f"every prompt has {what} more often than its chat template writes it: a template was written into the "
            "prompt text or the messages by hand, and the tokenizer's own was put around it; write only the words of "
            "the instruction",
            len(setup.prompts),
            len(setup.prompts),
        )

    @staticmethod
    def _expected(setup: Setup) -> tuple[str, Sequence[int]] | None:
        """What the template makes of messages without any control token in them."""
        asked, tokenizer = setup.run.prompt, setup.loaded.tokenizer
        turn = [{"role": "user", "content": "-"}, {"role": "assistant", "content": "-"}]
        talk = [*turn * (len(asked.examples) if asked else 0), turn[0]]
        arguments: dict[str, object] = getattr(setup.adapter, "template_arguments", dict)()
        system_first = [{"role": "system", "content": "-"}] if asked and asked.system else []
        opening: list[dict[str, str]] = getattr(setup.adapter, "opening", list)()
        for system in (system_first, []):
            try:
                text = render(tokenizer, [*opening, *system, *talk], **arguments, add_generation_prompt=True)
            except Exception:  # a template may refuse a system text
                continue
            return text, tokenizer(text, add_special_tokens=False)["input_ids"]
        return None


def _after_bos(ids: Sequence[int], tokenizer: Any) -> Iterator[int]:
    return dropwhile(lambda i: i == tokenizer.bos_token_id, ids)


CHECKS: tuple[type[Check], ...] = (DialogueCut, TemplateTwice)
