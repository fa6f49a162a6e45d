"""Checks of what a model has written."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from dsum_bench.checks.base import Check, RunOutputs, share
from dsum_bench.dialogue import split_turns
from dsum_bench.metrics.bounds import LONGEST_SUMMARY, scored_part
from dsum_bench.spec import Finding, Generation, Level, Sample

THOUGHT = re.compile(r"</?(?:think|thinking|thought|reasoning)>|\[/?THINK\]|<\|channel\|>analysis", re.IGNORECASE)
NOTES = 3
NAMED = 3
SPOKEN = 15
"""Characters that a turn must have to count as copied: 'Yes, please.' may be in any summary."""


def _level(hit: int, total: int, warning: float, error: float) -> Level:
    return "error" if hit >= error * total else "warning" if hit >= warning * total else "note"


class Thinking(Check):
    """Thoughts are in the output."""

    name = "thinking"
    mark = "K"
    level = "warning"
    meaning = "thinking text in output"
    early = True

    def after(self, written: RunOutputs) -> Finding | None:
        made = written.outputs
        left = sum(bool(THOUGHT.search(o.summary)) for o in made.values())
        if left:
            return self.found(
                f"thinking text is left in the summaries of {share(left, len(made))} and is scored: parse it out in "
                "the adapter, or switch thinking off in the template",
                left,
                len(made),
                "error",
            )
        thought = sum(bool(THOUGHT.search(o.generation.text)) for o in made.values())
        if not thought:
            return None
        return self.found(
            f"{share(thought, len(made))} think before they answer, which uses up max_new_tokens: switch thinking off "
            "in the template, or raise the limit",
            thought,
            len(made),
        )


class Cut(Check):
    """Outputs were ended by their length."""

    name = "cut"
    mark = "C"
    level = "warning"
    meaning = "output cut by length"
    early = True

    def after(self, written: RunOutputs) -> Finding | None:
        made = written.outputs
        cut = sum(o.generation.finish == "length" for o in made.values())
        if not cut:
            return None
        return self.found(
            f"{share(cut, len(made))} were cut at max_new_tokens: raise it, or find out why the model does not stop",
            cut,
            len(made),
            _level(cut, len(made), 0.02, 0.9),
        )


class Empty(Check):
    """Summaries hold no letter and no digit."""

    name = "empty"
    mark = "E"
    level = "warning"
    meaning = "empty summary"
    early = True

    def after(self, written: RunOutputs) -> Finding | None:
        made = written.outputs
        bare = sum(not any(c.isalnum() for c in o.summary) for o in made.values())
        if not bare:
            return None
        blank = sum(not o.summary.strip() for o in made.values())
        return self.found(
            f"{share(bare, len(made))} have no summary ({blank} empty, {bare - blank} only punctuation) and score 0",
            bare,
            len(made),
            "error" if bare >= 0.5 * len(made) else None,
        )


class Identical(Check):
    """Different dialogues got the same summary."""

    name = "identical"
    mark = "I"
    level = "warning"
    meaning = "same summary repeated"
    early = True

    def after(self, written: RunOutputs) -> Finding | None:
        summaries = {i: o.summary.strip() for i, o in written.outputs.items() if o.summary.strip()}
        if not summaries:
            return None
        summary, _ = Counter(summaries.values()).most_common(1)[0]
        dialogues = {written.samples[i].dialogue for i, text in summaries.items() if text == summary}
        count, total = len(dialogues), len(written.outputs)
        if count < 3 or count < 0.05 * total:
            return None
        shown = summary if len(summary) <= 40 else f"{summary[:39]}…"
        return self.found(
            f"{share(count, total)} have the same summary ('{shown}'): the model does not read the dialogue",
            count,
            total,
            _level(count, total, 0.0, 0.5),
        )


class Echo(Check):
    """Summaries repeat turns of the dialogue word by word."""

    name = "echo"
    mark = "X"
    level = "warning"
    meaning = "dialogue repeated as summary"
    early = True

    def after(self, written: RunOutputs) -> Finding | None:
        made = written.outputs
        echoes = sum(_echoes(o.summary, written.samples[i]) for i, o in made.items())
        if not echoes or echoes < 0.05 * len(made):
            return None
        return self.found(
            f"the summaries of {share(echoes, len(made))} contain whole turns of the dialogue with their speakers: the "
            "model continues the dialogue or copies it instead of summarising",
            echoes,
            len(made),
            "error" if echoes >= 0.5 * len(made) else None,
        )


def _echoes(summary: str, sample: Sample) -> bool:
    flat = " ".join(summary.split())
    turns = (" ".join(turn.split()) for turn in split_turns(sample.dialogue, sample.turns))
    return any(len(turn) >= SPOKEN and turn in flat for turn in turns)


class Refused(Check):
    """Whoever runs the model refused to answer samples."""

    name = "refused"
    mark = "W"
    level = "warning"
    meaning = "samples refused"
    early = True

    def after(self, written: RunOutputs) -> Finding | None:
        refused = {i: o.generation for i, o in written.outputs.items() if o.generation.finish == "refused"}
        if not refused:
            return None
        total = len(written.outputs)
        return self.found(
            f"{share(len(refused), total)} were refused, and what they lack scores 0: {_said(refused)}. They are not "
            "asked again unless you start over with --fresh",
            len(refused),
            total,
            "error" if len(refused) >= 0.5 * total else None,
        )


class Noted(Check):
    """The engine noted something of outputs that it did get."""

    name = "noted"
    mark = "n"
    level = "warning"
    meaning = "engine noted something"
    early = True

    def after(self, written: RunOutputs) -> Finding | None:
        noted = {
            i: o.generation
            for i, o in written.outputs.items()
            if o.generation.note and o.generation.finish != "refused"
        }
        if not noted:
            return None
        return self.found(f"the engine noted: {_said(noted)}", len(noted), len(written.outputs))


class Overlong(Check):
    """Summaries are longer than metrics look at."""

    name = "overlong"
    mark = "v"
    level = "warning"
    meaning = "scored in part"
    controls = True

    def after(self, written: RunOutputs) -> Finding | None:
        made = written.outputs
        left = {i: len(o.summary) - len(scored_part(o.summary)) for i, o in made.items()}
        over = [i for i, count in left.items() if count]
        if not over:
            return None
        return self.found(
            f"{share(len(over), len(made))} have more than {LONGEST_SUMMARY:,} characters (sample {named(over)}): "
            f"metrics were given the beginning of each, and {sum(left.values()):,} characters were left out",
            len(over),
            len(made),
        )


def _said(made: Mapping[str, Generation]) -> str:
    """What was noted, the most frequent first, each with the samples it was noted of."""
    samples: dict[str, list[str]] = {}
    for sample_id, generation in made.items():
        samples.setdefault(generation.note or "no reason given", []).append(sample_id)
    ordered = sorted(samples.items(), key=lambda item: -len(item[1]))
    told = [f"{note} (sample {named(ids)})" for note, ids in ordered[:NOTES]]
    more = [f"{len(ordered) - NOTES} other notes"] if len(ordered) > NOTES else []
    return "; ".join([*told, *more])


def named(ids: Sequence[str]) -> str:
    """``'a', 'b', 'c' and 12 more``."""
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    return ", ".join(f"'{i}'" for i in ids[:NAMED]) + more


CHECKS: tuple[type[Check], ...] = (Thinking, Cut, Empty, Identical, Echo, Refused, Noted, Overlong)
