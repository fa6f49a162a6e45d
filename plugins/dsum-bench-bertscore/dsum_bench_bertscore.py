"""BERTScore (Zhang et al. 2020) as a metric: similarity of contextual embeddings, by an encoder that you name."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from dsum_bench import Metric, MetricTokenizer, Sample, UserError, hookimpl
from dsum_bench.engines import checkpoint
from dsum_bench.metrics.nikl import Nikl

if TYPE_CHECKING:
    import torch

    Encoded = tuple[torch.Tensor, torch.Tensor]

MODEL = "DSUM_BERTSCORE_MODEL"
LAYER = "DSUM_BERTSCORE_LAYER"
ENCODER = "DSUM_NIKL_ENCODER"
MULTILINGUAL, NIKL_LAYER = "google-bert/bert-base-multilingual-cased", 9


class BertScore(Metric):
    """Precision, recall and F1 x 100, averaged over references; no idf weights, no rescaling.

    Every token but the special ones counts for its highest cosine with any token of the other text. An empty text
    scores 0. The encoder is a folder or a hub id, and the layer a number from 1 (0 is the embedding).
    """

    name = "bertscore"
    measures = ("precision", "recall", "f1")
    needs_tokenizer = False

    def __init__(self, tokenizer: MetricTokenizer | None = None) -> None:
        super().__init__(tokenizer)
        self.encoder, self.layer = self.named()
        self.folder = _folder(self.encoder)
        self.weights = checkpoint.fingerprint(checkpoint.weight_files(self.folder, allow_pickle=False))
        # Both texts of a pair come again: references with every model, and all of them with P and R.
        self._encoded = lru_cache(maxsize=4096)(self._encode)

    @staticmethod
    def named() -> tuple[str, int]:
        """Which encoder, and which of its layers."""
        return _named()

    @property
    def signature(self) -> str:
        encoder = Path(self.encoder).name if Path(self.encoder).is_dir() else self.encoder
        return (
            f"bertscore|encoder:{encoder}:{self.weights}|layer:{self.layer}|idf:no|rescale:no|refs:mean|scale:100|v:1"
        )

    def score(self, summary: str, sample: Sample) -> Mapping[str, float]:
        found = [self._pair(summary, reference) for reference in sample.references]
        values = [100 * fmean(column) for column in zip(*found, strict=True)] or [0.0, 0.0, 0.0]
        return dict(zip(self.measures, values, strict=True))

    def _pair(self, summary: str, reference: str) -> tuple[float, float, float]:
        if not summary.strip() or not reference.strip():
            return 0.0, 0.0, 0.0
        (ours, our_words), (theirs, their_words) = self._encoded(summary.strip()), self._encoded(reference.strip())
        if not our_words.any() or not their_words.any():
            return 0.0, 0.0, 0.0
        alike = ours @ theirs.T
        precision = float(alike.max(dim=1).values[our_words].mean())
        recall = float(alike.max(dim=0).values[their_words].mean())
        return precision, recall, 2 * precision * recall / (precision + recall) if precision + recall else 0.0

    def _encode(self, text: str) -> Encoded:
        """Unit vectors of the tokens, shape (tokens, width), and which of them are words, shape (tokens,)."""
        import torch

        tokenizer, network = _opened(self.folder, self.layer)
        ids = tokenizer(text, truncation=True, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            states = network(ids, output_hidden_states=True).hidden_states[self.layer][0].float()
        special = {tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id}
        return torch.nn.functional.normalize(states, dim=-1), torch.tensor([i not in special for i in ids[0].tolist()])


class Multilingual(BertScore):
    """BERTScore by the encoder of NIKL's scorer; ``DSUM_NIKL_ENCODER`` names a folder that holds it."""

    @staticmethod
    def named() -> tuple[str, int]:
        return os.environ.get(ENCODER) or MULTILINGUAL, NIKL_LAYER


class NiklBertScore(Nikl):
    """NIKL's score with two of the three parts that it had until 2025: ROUGE-1, and BERTScore's F1 x 100 with the
    first reference; ``mean`` is their mean."""

    name = "nikl-bertscore"
    measures = ("rouge1", "bertscore", "mean")
    parts = ("rouge1", "bertscore")

    def __init__(self, tokenizer: MetricTokenizer | None) -> None:
        super().__init__(tokenizer)
        self.bertscore = Multilingual()

    @property
    def signature(self) -> str:
        encoder = f"encoder:{Path(self.bertscore.encoder).name}:{self.bertscore.weights}|layer:{NIKL_LAYER}"
        return f"{super().signature}|{encoder}"

    def further(self, summary: str, sample: Sample) -> list[float]:
        first = replace(sample, references=sample.references[:1])
        return [self.bertscore.score(summary, first)["f1"]]


def _named() -> tuple[str, int]:
    encoder, layer = os.environ.get(MODEL, ""), os.environ.get(LAYER, "")
    if not encoder or not layer.isdecimal():
        raise UserError(
            f"metric bertscore: name its encoder and layer in the environment, such as {MODEL}=klue/roberta-large "
            f"{LAYER}=17; other ones give other scores"
        )
    return encoder, int(layer)


def _folder(encoder: str) -> Path:
    if Path(encoder).is_dir():
        return Path(encoder)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(encoder, allow_patterns=["*.json", "*.safetensors", "*.txt", "*.model"]))
    except Exception as error:  # the hub's client raises many kinds
        raise UserError(
            f"metric bertscore: encoder '{encoder}' is neither a folder nor at hand from the hub: {error}"
        ) from None


@lru_cache(maxsize=1)
def _opened(folder: Path, layer: int) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer

    network = AutoModel.from_pretrained(folder, local_files_only=True).eval()
    if not 0 <= layer <= network.config.num_hidden_layers:
        raise UserError(f"metric bertscore: {folder} has layers 0 to {network.config.num_hidden_layers}, not {layer}")
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    tokenizer.model_max_length = min(tokenizer.model_max_length, network.config.max_position_embeddings)
    return tokenizer, network


@hookimpl
def dsum_register_metrics(register: Callable[[type[Metric]], None]) -> None:
    register(BertScore)
    register(NiklBertScore)
