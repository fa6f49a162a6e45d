"""The built-in strategies. Each is exact: what it writes does not depend on how prompts were batched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dsum_bench.decoding import script
from dsum_bench.decoding.base import Batch, Decoding
from dsum_bench.spec import Sample

if TYPE_CHECKING:
    from transformers import LogitsProcessor


@dataclass(frozen=True, slots=True)
class GreedyParams:
    """Parameters that every built-in strategy has.

    max_new_tokens, min_new_tokens: bounds on the output, in the model's tokens.
    no_repeat_ngram: no n-gram of this many tokens occurs twice in the output; 0 is off.
    repetition_penalty: scores of tokens already in the output are divided (multiplied where negative)
        by this, as in CTRL (Keskar et al. 2019, section 4.1); 1.0 is off.

    Both look at the output only. transformers' own options also look at the prompt of a decoder-only
    model, which would forbid it to name what the dialogue names.

    script: ``hangul`` keeps the output to Korean text: Hangul, digits, punctuation, symbols and spaces, whatever
        tokens they are made of; '' is off. Excepted are speaker tags and masks, ``literals``, and with ``copy_names``
        the words in Latin letters that the dialogue has. A limit on length never leaves half a character or name.
    """

    max_new_tokens: int = 128
    min_new_tokens: int = 0
    no_repeat_ngram: int = 0
    repetition_penalty: float = 1.0
    script: str = ""
    literals: tuple[str, ...] = ()
    copy_names: bool = True

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be at least 1, not {self.max_new_tokens}")
        if not 0 <= self.min_new_tokens <= self.max_new_tokens:
            raise ValueError(f"min_new_tokens must be between 0 and max_new_tokens, not {self.min_new_tokens}")
        if self.no_repeat_ngram < 0:
            raise ValueError(f"no_repeat_ngram must be 0 (off) or more, not {self.no_repeat_ngram}")
        if self.repetition_penalty <= 0:
            raise ValueError(f"repetition_penalty must be more than 0, not {self.repetition_penalty}")
        if self.script and self.script not in script.SCRIPTS:
            raise ValueError(f"script must be '' (off) or {' or '.join(script.SCRIPTS)}, not '{self.script}'")
        if "" in self.literals:
            raise ValueError("literals must not contain an empty string")
        if self.literals and not self.script:
            raise ValueError("literals are exceptions to script, which is off")


@dataclass(frozen=True, slots=True)
class BeamParams(GreedyParams):
    """beams: sequences kept. early_stopping: stop once that many have ended. length_penalty: exponent of
    the length that a finished beam's log-probability is divided by."""

    beams: int = 4
    early_stopping: bool = True
    length_penalty: float = 1.0

    def __post_init__(self) -> None:
        GreedyParams.__post_init__(self)
        if self.beams < 2:
            raise ValueError(f"beams must be at least 2, not {self.beams}; for one beam use strategy greedy")


@dataclass(frozen=True, slots=True)
class SamplingParams(GreedyParams):
    """temperature: divides the scores. top_k: keep the k best, 0 keeps all. top_p: keep the smallest set
    with this much probability (Holtzman et al. 2020), 1.0 keeps all. candidates: outputs written for each dialogue; the
    first is what one alone would be, and all are kept for ``combine``."""

    candidates: int = 1
    temperature: float = 0.7
    top_k: int = 0
    top_p: float = 0.9

    def __post_init__(self) -> None:
        GreedyParams.__post_init__(self)
        if self.temperature <= 0:
            raise ValueError(f"temperature must be more than 0, not {self.temperature}; for 0 use strategy greedy")
        if self.top_k < 0:
            raise ValueError(f"top_k must be 0 (all) or more, not {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be between 0 and 1, not {self.top_p}")
        if self.candidates < 1:
            raise ValueError(f"candidates must be at least 1, not {self.candidates}")


class Greedy(Decoding):
    """The most probable token at each step."""

    name = "greedy"
    continues = True
    Params = GreedyParams
    params: GreedyParams

    def config(self) -> Mapping[str, object]:
        return {
            "do_sample": False,
            "num_beams": 1,
            "max_new_tokens": self.params.max_new_tokens,
            "min_new_tokens": self.params.min_new_tokens or None,
        }

    def processors(self, batch: Batch) -> list[LogitsProcessor]:
        from dsum_bench.decoding.processors import NoRepeatNgram, OutputRepetitionPenalty

        found: list[LogitsProcessor] = []
        if self.params.repetition_penalty != 1.0:
            found.append(OutputRepetitionPenalty(self.params.repetition_penalty, batch.prompt_width))
        if self.params.no_repeat_ngram:
            found.append(NoRepeatNgram(self.params.no_repeat_ngram, batch.prompt_width, batch.tag_ids))
        return [self._constraint(batch, found)] if self.params.script else found

    def forbids(self, text: str, sample: Sample, tokenizer: Any) -> str:
        if not self.params.script:
            return ""
        excepted = script.exceptions(sample.dialogue, self.params.literals, self.params.copy_names)
        return script.forbidden(text, excepted)

    def _constraint(self, batch: Batch, others: list[LogitsProcessor]) -> LogitsProcessor:
        from dsum_bench.decoding.constraint import ScriptConstraint, automaton

        names = self.params.literals, self.params.copy_names
        automata = [automaton(batch, row, *names) for row in range(len(batch.sample_ids))]
        most = self.params.max_new_tokens
        return ScriptConstraint(automata, batch.end_ids, batch.prompt_width, most, others)


class Beam(Greedy):
    """Beam search; the best finished beam wins."""

    name = "beam"
    Params = BeamParams
    params: BeamParams

    @property
    def beams(self) -> int:
        return self.params.beams

    def config(self) -> Mapping[str, object]:
        return {
            **super().config(),
            "num_beams": self.params.beams,
            "early_stopping": self.params.early_stopping,
            "length_penalty": self.params.length_penalty,
        }


class Sampling(Greedy):
    """Random tokens from the tempered, truncated distribution.

    Each sample has random numbers of its own, from the seed and its id, so that the same text comes out
    alone, in any batch and after a resume.
    """

    name = "sampling"
    Params = SamplingParams
    params: SamplingParams

    @property
    def candidates(self) -> int:
        return self.params.candidates

    def processors(self, batch: Batch) -> list[LogitsProcessor]:
        from transformers import TemperatureLogitsWarper, TopKLogitsWarper

        from dsum_bench.decoding.processors import Nucleus, PickByUniform

        found = super().processors(batch)
        if self.params.temperature != 1.0:
            found.append(TemperatureLogitsWarper(self.params.temperature))
        if self.params.top_k:
            found.append(TopKLogitsWarper(self.params.top_k))
        if self.params.top_p < 1:
            found.append(Nucleus(self.params.top_p))
        found.append(PickByUniform(self.seed, batch.sample_ids, batch.prompt_width, self.params.max_new_tokens))
        return found
