"""The metric against the authors' own package, with a small random BERT."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import torch
from dsum_bench_bertscore import ENCODER, LAYER, MODEL, BertScore, NiklBertScore
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from dsum_bench import Sample, UserError
from dsum_bench.metrics.choose import build
from dsum_bench.plugins import Plugins
from dsum_bench.spec import PluginSettings

WORDS = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", *"가나다라마바사아자차"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, "[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.5,
        pad_token_id=3,
    )
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def metric(encoder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv(MODEL, str(encoder))
    monkeypatch.setenv(LAYER, "2")
    return BertScore()


PAIRS = [("가 나 다", "가 나 라"), ("가", "나 다 라 마 바"), ("가 나 다 라 마", "마 라 다 나 가"), ("차 차", "차 차")]


def test_values_are_those_of_the_authors_package(metric: BertScore) -> None:
    utils = pytest.importorskip("bert_score.utils", reason="package bert-score is not installed")
    from transformers import AutoModel, AutoTokenizer

    network = AutoModel.from_pretrained(metric.folder).eval()
    network.encoder.layer = network.encoder.layer[:2]  # as the package does, which takes the last state then
    tokenizer = AutoTokenizer.from_pretrained(metric.folder)
    tokenizer.model_max_length = 64
    weights = defaultdict(lambda: 1.0, {tokenizer.cls_token_id: 0.0, tokenizer.sep_token_id: 0.0})
    ours, theirs = [a for a, _ in PAIRS], [b for _, b in PAIRS]
    oracle = utils.bert_cos_score_idf(network, theirs, ours, tokenizer, weights, device="cpu")
    for (summary, reference), values in zip(PAIRS, oracle.tolist(), strict=True):
        found = metric.score(summary, Sample("1", "", (reference,)))
        assert list(found.values()) == pytest.approx([100 * v for v in values], abs=1e-3)


def test_a_text_matches_itself_and_swapping_swaps(metric: BertScore) -> None:
    same = metric.score("가 나 다", Sample("1", "", ("가 나 다",)))
    assert list(same.values()) == pytest.approx([100, 100, 100], abs=1e-3)
    here = metric.score("가 나 다", Sample("1", "", ("라 마",)))
    there = metric.score("라 마", Sample("1", "", ("가 나 다",)))
    assert (here["precision"], here["recall"]) == pytest.approx((there["recall"], there["precision"]))


def test_references_are_averaged_and_empty_texts_score_nothing(metric: BertScore) -> None:
    alone = [metric.score("가 나", Sample("1", "", (r,)))["f1"] for r in ("가 다", "라")]
    assert metric.score("가 나", Sample("1", "", ("가 다", "라")))["f1"] == pytest.approx(sum(alone) / 2)
    assert set(metric.score("", Sample("1", "", ("가",))).values()) == {0.0}
    assert set(metric.score("가", Sample("1", "", ())).values()) == {0.0}


def test_the_signature_names_encoder_weights_and_layer(metric: BertScore, encoder: Path) -> None:
    assert metric.signature.startswith(f"bertscore|encoder:{encoder.name}:{metric.weights}|layer:2|")


def test_what_is_not_named_is_asked_for(encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MODEL, raising=False)
    with pytest.raises(UserError, match="DSUM_BERTSCORE_MODEL=klue"):
        BertScore()
    monkeypatch.setenv(MODEL, str(encoder))
    monkeypatch.setenv(LAYER, "9")
    with pytest.raises(UserError, match="has layers 0 to 3, not 9"):
        BertScore().score("가", Sample("1", "", ("나",)))


def test_the_harness_finds_it(encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODEL, str(encoder))
    monkeypatch.setenv(LAYER, "1")
    plugins = Plugins(PluginSettings(("dsum-bench-bertscore",)))
    assert build(plugins, "bertscore").signature.count("layer:1") == 1


def test_the_nikl_score_is_the_mean_of_its_parts_with_the_first_reference(
    encoder: Path, metric: BertScore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENCODER, str(encoder))
    monkeypatch.setattr("dsum_bench_bertscore.NIKL_LAYER", 2)  # the small encoder has no ninth layer
    nikl = NiklBertScore(Plugins(PluginSettings(())).tokenizers["whitespace"]())
    for summary, reference in PAIRS:
        sample = Sample("1", "", (reference, "아 자"))
        values = nikl.score(summary, sample)
        assert list(values) == ["rouge1", "bertscore", "mean"]
        assert values["bertscore"] == metric.score(summary, Sample("1", "", (reference,)))["f1"]
        assert values["mean"] == pytest.approx((values["rouge1"] + values["bertscore"]) / 2)
    assert "parts:rouge1+bertscore|" in nikl.signature and "|layer:" in nikl.signature
