"""Checks of what the model could write at all: can the references be reached?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from dsum_bench.checks.base import NOTABLE, Check, Setup, share
from dsum_bench.checks.forcing import Stop, constrains, ends_early, stops, target
from dsum_bench.dialogue import TAG
from dsum_bench.spec import Finding, Generation, Level, Sample

MOST = 0.5
"""From this share of the references on, a warning becomes an error."""
FEW = 0.05
FORCED = 40
"""Samples whose references are written token by token."""


class ShortLimit(Check):
    """References are longer than the output may be."""

    name = "short-limit"
    mark = "L"
    level = "warning"
    meaning = "output limit below references"

    def before(self, setup: Setup) -> Finding | None:
        limit = setup.decoding.config().get("max_new_tokens") if setup.decoding else None
        tokenizer = setup.loaded.tokenizer
        if not isinstance(limit, int) or tokenizer is None:
            return None
        lengths = {s.id: _length(tokenizer, s) for s in setup.samples if s.references}
        short = [n for n in lengths.values() if n > limit]
        if not short:
            return None
        return self.found(
            f"max_new_tokens is {limit}, but the references of {share(len(short), len(lengths))} are longer in this "
            f"model's tokens, up to {max(short)}: raise it",
            len(short),
            len(lengths),
            "error" if len(short) > MOST * len(lengths) else None,
        )


def _length(tokenizer: Any, sample: Sample) -> int:
    """Tokens of the shortest reference: a summary that matches it would do."""
    return min(len(tokenizer(r, add_special_tokens=False)["input_ids"]) for r in sample.references)


class Forbidden(Check):
    """The decoding makes references impossible to write."""

    name = "forbidden"
    mark = "F"
    level = "warning"
    meaning = "references forbidden by the decoding"

    def before(self, setup: Setup) -> Finding | None:
        wanted = [s for s in setup.samples if s.references]
        if setup.decoding is None or setup.loaded.tokenizer is None or not wanted:
            return None
        return self._characters(setup, wanted) or self._forced(setup, wanted)

    def _characters(self, setup: Setup, wanted: Sequence[Sample]) -> Finding | None:
        assert setup.decoding is not None
        banned = _banned({**setup.decoding.config(), **setup.adapter.generate_arguments()})
        told = [self._forbidden(setup, s, banned) for s in wanted]
        hit = [what for what in told if what]
        if not hit:
            return None
        examples = "".join(dict.fromkeys("".join(hit)))[:12]
        return self.found(
            f"the decoding forbids characters in the references of {share(len(hit), len(told))} ({examples}): no "
            "output can equal them; allow what references hold, speaker tags first",
            len(hit),
            len(told),
            "error" if len(hit) > MOST * len(told) else None,
        )

    def _forced(self, setup: Setup, wanted: Sequence[Sample]) -> Finding | None:
        """Write references token by token through the run's own processors and end tokens."""
        looked = wanted[:: -(-len(wanted) // FORCED)]
        stuck: dict[str, Stop] = {}
        rest = [(s, s.references) for s in looked]
        if not constrains(setup) and not any(ends_early(setup, target(setup, r)) for s in looked for r in s.references):
            return None
        while rest:  # a summary that equals any one of the references will do
            targets = [(s, target(setup, references[0])) for s, references in rest]
            stopped = stops(setup, targets)
            stuck |= {s.id: stop for (s, _), stop in zip(targets, stopped, strict=True) if stop}
            stuck = {i: stop for i, stop in stuck.items() if i not in _free(targets, stopped)}
            rest = [(s, r[1:]) for (s, r), stop in zip(rest, stopped, strict=True) if stop and r[1:]]
        if not stuck:
            return None
        tokens = Counter(setup.loaded.tokenizer.decode([stop.token]) or "?" for stop in stuck.values())
        shown = ", ".join(repr(token) for token, _ in tokens.most_common(3))
        early = sum(stop.early for stop in stuck.values())
        return self.found(
            f"{share(len(stuck), len(looked))} that were looked at have no reference that can be written through the "
            f"decoding's processors and end tokens (they are stopped at {shown}"
            f"{f'; {early} by an end token in their midst' if early else ''}): loosen what forbids them "
            "(no_repeat_ngram, min_new_tokens, bans, processors)",
            len(stuck),
            len(looked),
            _level(len(stuck), len(looked)),
        )

    @staticmethod
    def _forbidden(setup: Setup, sample: Sample, banned: frozenset[int]) -> str:
        assert setup.decoding is not None
        tokenizer = setup.loaded.tokenizer
        found = [setup.decoding.forbids(r, sample, tokenizer) for r in sample.references]
        for i, reference in enumerate(sample.references):
            ids = tokenizer(reference, add_special_tokens=False)["input_ids"]
            found[i] += "".join(tokenizer.decode([t]).strip() or "?" for t in ids if t in banned)
        return "" if "" in found else found[0]


def _free(targets: Sequence[tuple[Sample, Sequence[int]]], stopped: Sequence[Stop | None]) -> set[str]:
    return {s.id for (s, _), stop in zip(targets, stopped, strict=True) if stop is None}


def _level(hit: int, total: int) -> Level:
    return "error" if hit > MOST * total else "warning" if hit >= FEW * total else "note"


def _banned(config: Mapping[str, object]) -> frozenset[int]:
    """Single tokens that a generation config bans: sequences of one in bad_words_ids, and suppress_tokens."""
    words, suppressed = config.get("bad_words_ids"), config.get("suppress_tokens")
    singles = {w[0] for w in words if len(w) == 1} if isinstance(words, list | tuple) else set()
    return frozenset(singles) | frozenset(suppressed if isinstance(suppressed, list | tuple) else ())


class RoundTrip(Check):
    """What the model would have to write does not come out as it was written."""

    name = "round-trip"
    mark = "R"
    level = "error"
    meaning = "outputs lose tags or characters"

    def before(self, setup: Setup) -> Finding | None:
        tokenizer = setup.loaded.tokenizer
        if tokenizer is None:
            return None
        wanted = [s for s in setup.samples if s.references]
        tags = [s for s in wanted if TAG.findall(s.references[0]) != TAG.findall(self._through(setup, s))]
        if tags:
            return self.found(
                f"references of {share(len(tags), len(wanted))} lose speaker tags or masks on their way through this "
                "tokenizer and adapter: they are dropped as special tokens; decode with skip_special_tokens=False",
                len(tags),
                len(wanted),
                None if len(tags) >= NOTABLE * len(wanted) else "note",
            )
        lost = [s for s in wanted if _letters(s.references[0]) != _letters(self._through(setup, s))]
        if not lost:
            return None
        return self.found(
            f"references of {share(len(lost), len(wanted))} are changed by this tokenizer and adapter (unknown "
            "characters, or cut by the parsing): a perfect model could not write them",
            len(lost),
            len(wanted),
            "error" if len(lost) > MOST * len(wanted) else "warning",
        )

    @staticmethod
    def _through(setup: Setup, sample: Sample) -> str:
        ids = setup.loaded.tokenizer(sample.references[0], add_special_tokens=False)["input_ids"]
        text = setup.adapter.decode(ids)
        return setup.adapter.parse(Generation(sample.id, text, 0, len(ids), "stop", 0.0))


def _letters(text: str) -> str:
    return "".join(text.split())


CHECKS: tuple[type[Check], ...] = (ShortLimit, Forbidden, RoundTrip)
