"""Can references be written through a run's own processors and stopping rules? Planted bans are found, others pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from making import builtins, make, shipped
from setups import found, setup
from transformers import LogitsProcessor

from dsum_bench.adapters.base import AdapterContext
from dsum_bench.adapters.chat import ChatAdapter, ChatOptions
from dsum_bench.checks.base import Setup
from dsum_bench.datasets.load import load
from dsum_bench.decoding.base import Batch
from dsum_bench.decoding.strategies import Greedy
from dsum_bench.registry.load import load as registry
from dsum_bench.spec import Finding, ModelSpec, Sample

Open = Callable[[str], Any]
FAMILY = "qwen3"


@pytest.fixture(scope="module")
def samples() -> tuple[Sample, ...]:
    spec = registry(plugins=builtins(), working_directory=Path("/")).dataset("samples-ko")
    return load(spec, builtins(), "dev")[:12]


@pytest.fixture
def given(tokenizer: Open, samples: tuple[Sample, ...]) -> Callable[..., Setup]:
    """A run with the shipped adapter of a family, and a decoding with changes."""

    def made(decoding: str = "greedy", **params: object) -> Setup:
        adapter = make("qwen", tokenizer(FAMILY), "ko-default")
        return setup(adapter, samples, decoding, **{"max_new_tokens": 200, **params})

    return made


def forbidden(given: Setup) -> Finding | None:
    return found(given).get("forbidden")


# -- what is sane ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decoding", ["greedy", "greedy-hangul", "sampling"])
def test_the_shipped_decodings_forbid_no_reference(given: Callable[..., Setup], decoding: str) -> None:
    assert forbidden(given(decoding)) is None


def test_a_penalty_and_a_short_minimum_forbid_nothing(given: Callable[..., Setup]) -> None:
    assert forbidden(given(repetition_penalty=1.3, min_new_tokens=10)) is None
    assert forbidden(given("beam4", no_repeat_ngram=0, beams=2)) is None


def test_an_encoder_with_a_forced_language_is_free(kobart_folder: Path, samples: tuple[Sample, ...]) -> None:
    from transformers import AutoTokenizer

    adapter = make("encoder_decoder", AutoTokenizer.from_pretrained(kobart_folder), wrap=True)
    assert forbidden(setup(adapter, samples, "beam4", no_repeat_ngram=0)) is None


# -- what is planted ------------------------------------------------------------------------------------------


def repeats(given: Setup, size: int) -> int:
    """Samples of which every reference repeats a run of tokens outside tags; counted without a processor."""
    tokenizer = given.loaded.tokenizer
    texts = ["#Person1#", "#Person2#", "#Person3#", "#Person4#", " #Person1#", "\n#Person2#"]
    tags = {
        i for t in texts for i in tokenizer(t, add_special_tokens=False)["input_ids"] if tokenizer.decode([i]).strip()
    }

    def repeated(text: str) -> bool:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        runs = [tuple(ids[i : i + size]) for i in range(len(ids) - size + 1)]
        runs = [run for run in runs if not tags & set(run)]
        return len(runs) > len(set(runs))

    return sum(all(map(repeated, s.references)) for s in given.samples)


@pytest.mark.parametrize("size", [1, 2])
def test_no_repeated_ngrams(given: Callable[..., Setup], size: int) -> None:
    run = given(no_repeat_ngram=size)
    finding = forbidden(run)
    assert (finding.hit if finding else 0) == repeats(run, size)
    assert size == 2 or (finding is not None and finding.level == "error")


def test_beams_of_kobart_with_no_repeated_bigram(kobart_folder: Path, samples: tuple[Sample, ...]) -> None:
    from transformers import AutoTokenizer

    adapter = make("encoder_decoder", AutoTokenizer.from_pretrained(kobart_folder), wrap=True)
    run = setup(adapter, samples, "beam4")
    finding = forbidden(run)
    assert finding is not None and finding.hit == repeats(run, 2) > 0


def test_a_minimum_above_the_references(given: Callable[..., Setup]) -> None:
    finding = forbidden(given(min_new_tokens=190))
    assert finding is not None and (finding.level, finding.hit) == ("error", 12)
    assert "<|im_end|>" in finding.text


class Bans(ChatAdapter):
    banned: tuple[str, ...] = ("합니다.",)

    def generate_arguments(self) -> Mapping[str, object]:
        return {"bad_words_ids": [self.tokenizer(text, add_special_tokens=False)["input_ids"] for text in self.banned]}


class EndsAtFullStop(ChatAdapter):
    def end_ids(self) -> tuple[int, ...]:
        return (*super().end_ids(), *self.tokenizer(".", add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize(("adapter", "words"), [(Bans, "decoding's processors"), (EndsAtFullStop, "in their midst")])
def test_bans_of_several_tokens_and_early_ends(
    tokenizer: Open, samples: tuple[Sample, ...], adapter: type[ChatAdapter], words: str
) -> None:
    context = AdapterContext(ModelSpec("m", "planted"), shipped("ko-default"), "template", "ko", tokenizer(FAMILY))
    finding = forbidden(setup(adapter(context, ChatOptions()), samples, max_new_tokens=200))
    assert finding is not None and finding.hit > 3 and words in finding.text


class NoDigits(LogitsProcessor):  # type: ignore[misc]
    def __init__(self, tokenizer: Any, start: int) -> None:
        self.digits = [i for i in range(len(tokenizer)) if any(c.isdigit() for c in tokenizer.decode([i]))]
        self.start = start

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if input_ids.shape[1] > self.start + 3:  # the tag that opens a summary passes
            scores[:, self.digits] = -float("inf")
        return scores


class OwnProcessor(Greedy):
    def processors(self, batch: Batch) -> list[LogitsProcessor]:
        return [NoDigits(batch.tokenizer, batch.prompt_width)]


def test_an_own_processor(given: Callable[..., Setup]) -> None:
    run = given()
    assert run.decoding is not None
    finding = forbidden(replace(run, decoding=OwnProcessor(run.decoding.params)))
    assert finding is not None and finding.level == "error" and "'1'" in finding.text
