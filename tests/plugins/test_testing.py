"""The rules for plugin authors: the built-in parts keep them, and each rule fails where it is broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
from making import builtins

from dsum_bench import ModelSpec, UserError
from dsum_bench.adapters.chat import ChatAdapter
from dsum_bench.adapters.completion import CompletionAdapter
from dsum_bench.adapters.controls import LeadAdapter, LongestAdapter
from dsum_bench.checks.base import Check
from dsum_bench.datasets.base import DatasetReader, Row
from dsum_bench.decoding.base import Decoding
from dsum_bench.engines.control import ControlEngine
from dsum_bench.metrics.base import Metric
from dsum_bench.testing import (
    CHATML,
    AdapterRules,
    CheckRules,
    DatasetRules,
    DecodingRules,
    EngineRules,
    MetricRules,
    TrainerRules,
    byte_tokenizer,
    make_written,
)
from dsum_bench.training.base import Trainer
from dsum_bench.training.params import FullParams
from dsum_bench.training.trainers import DPO, ORPO, DoRA, Full, LoRA, RsLoRA

BOS_CHATML = "{{ bos_token }}" + CHATML


class TestChat(AdapterRules):
    adapter = ChatAdapter
    tokenizer = byte_tokenizer(CHATML)


class TestChatWhoseTemplateWritesBos(AdapterRules):
    adapter = ChatAdapter
    tokenizer = byte_tokenizer(BOS_CHATML)


class TestChatWithoutBos(AdapterRules):
    adapter = ChatAdapter
    tokenizer = byte_tokenizer(CHATML, bos=None)


class TestLlama3(AdapterRules):
    adapter = builtins().adapters["llama3"]
    tokenizer = byte_tokenizer(BOS_CHATML)


class TestQwen(AdapterRules):
    adapter = builtins().adapters["qwen"]
    tokenizer = byte_tokenizer(CHATML, bos=None)


class TestGemma(AdapterRules):
    adapter = builtins().adapters["gemma"]
    tokenizer = byte_tokenizer(BOS_CHATML)


class TestSolar(AdapterRules):
    adapter = builtins().adapters["solar"]
    tokenizer = byte_tokenizer(CHATML)


class TestCompletion(AdapterRules):
    adapter = CompletionAdapter
    tokenizer = byte_tokenizer()


class TestEncoderDecoder(AdapterRules):
    adapter = builtins().adapters["encoder_decoder"]
    tokenizer = byte_tokenizer(bos=None)
    prompt = None


class TestLead(AdapterRules):
    adapter = LeadAdapter
    prompt = None


class TestLongest(AdapterRules):
    adapter = LongestAdapter
    prompt = None


class TestRougeOnCharacters(MetricRules):
    metric = builtins().metrics["rouge"]
    tokenizer = builtins().tokenizers["char"]()
    tops: ClassVar[dict[str, float]] = {"sum": 300.0}


class TestGreedy(DecodingRules):
    decoding = builtins().decodings["greedy"]


class TestBeam(DecodingRules):
    decoding = builtins().decodings["beam"]


class TestSampling(DecodingRules):
    decoding = builtins().decodings["sampling"]


class TestControl(EngineRules):
    engine = ControlEngine
    model = ModelSpec("lead-3", "lead")


class TestFull(TrainerRules):
    trainer = Full


class TestLoRA(TrainerRules):
    trainer = LoRA


class TestDoRA(TrainerRules):
    trainer = DoRA


class TestRsLoRA(TrainerRules):
    trainer = RsLoRA


class TestDPO(TrainerRules):
    trainer = DPO


class TestORPO(TrainerRules):
    trainer = ORPO


class TestEmpty(CheckRules):
    check = builtins().checks["empty"]
    faulty = make_written(["", ""])
    clean = make_written(["#Person1#이 인사한다.", "#Person2#가 인사한다."])


class TestJsonl(DatasetRules):
    reader = builtins().datasets["jsonl"]
    file = "dev.jsonl"
    path = "{split}.jsonl"
    text = '{"id": "a", "dialogue": "#Person1#: 네."}\n{"id": "b", "dialogue": "#Person1#: 응."}\n'
    rows = ({"id": "a", "dialogue": "#Person1#: 네."}, {"id": "b", "dialogue": "#Person1#: 응."})


def test_the_fixture_is_there_for_who_asks(pytestconfig: pytest.Config) -> None:
    assert not pytestconfig.pluginmanager.has_plugin("dsum_bench.testing"), "it loads itself into everybody's tests"


# -- planted faults: adapters -------------------------------------------------------------------------------------


class NoHeader(ChatAdapter):
    def render(self, dialogue: str) -> str:
        return super().render(dialogue).removesuffix("<|im_start|>assistant\n")


class TwoBos(ChatAdapter):
    def encode(self, dialogue: str) -> Any:
        text, ids = super().encode(dialogue)
        return f"<s>{text}", [self.tokenizer.bos_token_id, *ids]


class NoBos(ChatAdapter):
    def encode(self, dialogue: str) -> Any:
        text, ids = super().encode(dialogue)
        return text, ids[1:]


class CutsTokens(ChatAdapter):
    def prompt(self, sample: Any) -> Any:
        limit = self.context.max_prompt_tokens
        whole = replace_limit(self, None).encode(sample.dialogue)
        made = super().prompt(sample)
        return replace(made, token_ids=tuple(whole[1][:limit]), text=whole[0][:limit])


def replace_limit(adapter: ChatAdapter, limit: int | None) -> ChatAdapter:
    return ChatAdapter(replace(adapter.context, max_prompt_tokens=limit), adapter.options)


class NeverTrims(ChatAdapter):
    def prompt(self, sample: Any) -> Any:
        return replace_limit(self, None).prompt(sample)


class ParseLosesTags(ChatAdapter):
    def summary(self, text: str) -> str:
        return text.replace("#", "")


class DecodeLosesTags(ChatAdapter):
    def decode(self, token_ids: Any) -> str:
        return super().decode(token_ids).replace("#Person1#", "")


class Remembers(ChatAdapter):
    before = ""

    def encode(self, dialogue: str) -> Any:
        text, ids = super().encode(dialogue)
        extra, self.before = self.before, dialogue
        return text + extra, ids + self.plain_ids(extra)


class Half(ChatAdapter):
    def messages(self, dialogue: str) -> Any:
        return super().messages(dialogue.partition("\n")[0])


class AddsToNothing(ChatAdapter):
    def summary(self, text: str) -> str:
        return text or "요약 없음"


@pytest.mark.parametrize(
    ("adapter", "rule"),
    [
        (NoHeader, "test_its_prompt_is_what_the_chat_template_makes"),
        (Half, "test_it_has_the_whole_dialogue"),
        (TwoBos, "test_it_begins_with_one_bos_and_has_no_other"),
        (NoBos, "test_it_begins_with_one_bos_and_has_no_other"),
        (CutsTokens, "test_it_trims_by_whole_turns_and_keeps_what_is_around_them"),
        (NeverTrims, "test_it_trims_by_whole_turns_and_keeps_what_is_around_them"),
        (NeverTrims, "test_it_says_when_even_the_empty_prompt_does_not_fit"),
        (ParseLosesTags, "test_it_keeps_tags"),
        (DecodeLosesTags, "test_it_keeps_tags"),
        (AddsToNothing, "test_it_reads_any_output"),
        (Remembers, "test_a_dialogue_is_treated_alike_whatever_others_are_in_its_batch"),
    ],
)
def test_an_adapter_that_breaks_a_rule_fails_it(adapter: type[ChatAdapter], rule: str) -> None:
    class Broken(AdapterRules):
        tokenizer = byte_tokenizer(CHATML)

    Broken.adapter = adapter
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(Broken(), rule)()


# -- planted faults: metrics, decoding, data, checks, engines, trainers -------------------------------------------


def metric(score: Callable[[Any, str, Any], Mapping[str, float]], said: str = "m|v:1") -> type[MetricRules]:
    own: Any = {"name": "m", "measures": ("m",), "needs_tokenizer": False, "signature": said, "score": score, "seen": 0}
    made = type("Own", (Metric,), own)
    return type("Broken", (MetricRules,), {"metric": made})


def growing(self: Any, summary: str, sample: Any) -> Mapping[str, float]:
    self.seen += 1
    return {"m": float(self.seen)}


@pytest.mark.parametrize(
    ("rules", "rule"),
    [
        (metric(lambda *a: {"m": 100.0}, said=""), "test_it_has_a_signature_of_one_line"),
        (metric(lambda *a: {"m": float("nan")}), "test_any_text_has_finite_values_on_the_scale"),
        (metric(lambda *a: {"m": 101.0}), "test_any_text_has_finite_values_on_the_scale"),
        (metric(lambda *a: {"other": 1.0}), "test_any_text_has_finite_values_on_the_scale"),
        (metric(lambda *a: {"m": 50.0}), "test_a_reference_scores_as_identical"),
        (metric(growing), "test_the_order_of_samples_and_references_does_not_matter"),
    ],
)
def test_a_metric_that_breaks_a_rule_fails_it(rules: type[MetricRules], rule: str) -> None:
    with pytest.raises(AssertionError):
        getattr(rules(), rule)()


@dataclass
class Thawed:
    max_new_tokens: int = 8


@dataclass(frozen=True)
class Frozen:
    max_new_tokens: int = 8


def decoding(**own: Any) -> type[DecodingRules]:
    parts: Any = {"name": "d", "Params": Frozen, "config": lambda self: {"max_new_tokens": 8}, **own}
    return type("Broken", (DecodingRules,), {"decoding": type("Own", (Decoding,), parts)})


def first_row_only(ids: Any, scores: Any) -> Any:
    return scores - scores[0]


@pytest.mark.parametrize(
    ("rules", "rule"),
    [
        (decoding(Params=Thawed), "test_its_parameters_are_a_frozen_dataclass_with_a_length"),
        (decoding(config=lambda self: {"max_new_token": 8}), "test_transformers_knows_every_field_of_its_config"),
        (
            decoding(config=lambda self: {"max_new_tokens": 8, "num_beams": 4}),
            "test_transformers_knows_every_field_of_its_config",
        ),
        (
            decoding(processors=lambda self, batch: [first_row_only]),
            "test_a_row_is_decoded_alike_whatever_others_are_in_its_batch",
        ),
    ],
)
def test_a_decoding_that_breaks_a_rule_fails_it(rules: type[DecodingRules], rule: str) -> None:
    with pytest.raises(AssertionError):
        getattr(rules(), rule)()


class Forgetful(DatasetReader):
    """Gives its rows once, all from the same place, and knows no mistake."""

    name = "forgetful"
    given = False

    def splits(self) -> tuple[str, ...]:
        return ("test",)

    def rows(self, split: str) -> Iterator[Row]:
        if not self.given:
            self.given = True
            yield from [Row("somewhere", {"id": "a"}), Row("somewhere", {"id": "b"})]


@pytest.mark.parametrize("rule", [n for n in vars(DatasetRules) if n.startswith("test_")])
def test_a_dataset_format_that_breaks_a_rule_fails_it(rule: str, tmp_path: Any) -> None:
    class Broken(TestJsonl):
        reader = Forgetful

    with pytest.raises((AssertionError, pytest.fail.Exception, UserError)):
        getattr(Broken(), rule)(tmp_path)


class Always(Check):
    name, mark, level, meaning = "always", "ab", "note", "always"

    def after(self, written: Any) -> Any:
        return replace(self.found("two"), text="two\nlines")


@pytest.mark.parametrize("rule", [n for n in vars(CheckRules) if n.startswith("test_")])
def test_a_check_that_breaks_a_rule_fails_it(rule: str) -> None:
    class Broken(TestEmpty):
        check = Always

    with pytest.raises(AssertionError):
        getattr(Broken(), rule)()


class Careless(ControlEngine):
    """Plans differently each time, answers the first prompt twice, never alike, and ends in a way of its own."""

    count = 0

    @classmethod
    def plan(cls, *a: Any) -> Any:
        cls.count += 1
        return replace(super().plan(*a), weights=str(cls.count))

    def generate(self, *a: Any) -> Any:
        for batch in super().generate(*a):
            Careless.count += 1
            yield [replace(g, text=f"{Careless.count}", finish="eos") for g in [batch[0], *batch]]


@pytest.mark.parametrize("rule", [n for n in vars(EngineRules) if n.startswith("test_")])
def test_an_engine_that_breaks_a_rule_fails_it(rule: str) -> None:
    class Broken(TestControl):
        engine = Careless

    with pytest.raises(AssertionError):
        getattr(Broken(), rule)()


class Nothing(Trainer):
    name, Params, keeps = "nothing", FullParams, "all"  # type: ignore[assignment]

    def prepare(self, network: Any) -> Any:
        return network.requires_grad_(False)


@pytest.mark.parametrize("rule", [n for n in vars(TrainerRules) if n.startswith("test_")])
def test_a_trainer_that_breaks_a_rule_fails_it(rule: str) -> None:
    class Broken(TestFull):
        trainer = Nothing

    with pytest.raises(AssertionError):
        getattr(Broken(), rule)()
