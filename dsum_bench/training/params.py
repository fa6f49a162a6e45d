"""Parameters of recipes, with what may not be asked for. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dsum_bench.languages import main_metric

REPORTS = ("tensorboard", "wandb")
MOVING = ("pissa", "olora")
"""Initialisations that take something out of the base's weights."""
LARGE = 13e9
"""Weights up to which the QLoRA paper drops out 0.1 of the adapter's input; 0.05 above."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingParams:
    """What every trainer knows.

    epochs: passes over the training rows. lr: learning rate. warmup: fraction of the steps in which it rises.
    batch: rows of one step on one device; accumulate: such steps to one update of the weights.
    max_tokens: longest training text, in tokens; a longer dialogue loses turns, never its summary.
    max_grad_norm: the gradient's norm is cut to it. group_by_length: rows of like length share a batch.
    packing: rows of a batch follow each other in one, without filling; each sees only itself, and the loss is the same.
    pack_tokens: with packing, a batch is as many rows as fit into so many tokens; 0 for ``batch`` rows.
    eval_steps: updates between evaluations; 0 evaluates after every epoch.
    eval_rouge: evaluation rows that are summarised at every evaluation, for their score; 0 for none.
    choose_by: which weights are kept. A metric as ``screen --metric`` takes it, or ``loss``: those of the best
    evaluation. ``last``: those of the last update. ``auto``: by the ROUGE of the language where there are evaluation
    rows, by loss where summaries cannot be written (weights split over processes, eval_rouge 0), else the last.
    patience: evaluations without a better one after which training stops; 0 never stops.
    label_smoothing: share of the probability that the loss spreads evenly over the vocabulary (Szegedy et al. 2016).
    neftune: noise on the embeddings while training, alpha of the paper (Jain et al. 2023), which takes 5 to 15; 0 for
    none. attention: how it is computed; ``auto`` leaves that to transformers, ``flash_attention_2`` needs a GPU and the
    package flash-attn. liger: Liger's kernels for norms, rotary positions and the MLP; they need a GPU and the package
    liger-kernel.
    gradient_checkpointing: compute activations again instead of keeping them; None does so where memory needs it.
    save_steps: updates between checkpoints. report: extra places for the curve, ``tensorboard`` or ``wandb``.
    """

    epochs: float = 3.0
    lr: float = 2e-4
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup: float = 0.0
    batch: int = 4
    accumulate: int = 4
    max_tokens: int = 1024
    max_grad_norm: float = 0.3
    weight_decay: float = 0.0
    optimizer: Literal["adamw_torch", "paged_adamw_32bit", "adafactor"] = "paged_adamw_32bit"
    gradient_checkpointing: bool | None = None
    group_by_length: bool = True
    packing: bool = False
    pack_tokens: int = 0
    eval_steps: int = 0
    eval_rouge: int = 32
    choose_by: str = "auto"
    patience: int = 0
    label_smoothing: float = 0.0
    neftune: float = 0.0
    attention: Literal["auto", "sdpa", "eager", "flash_attention_2"] = "auto"
    liger: bool = False
    save_steps: int = 50
    report: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for key in ("epochs", "lr", "max_grad_norm"):
            _check(getattr(self, key) > 0, key, "must be more than 0")
        for key in ("batch", "accumulate", "save_steps"):
            _check(getattr(self, key) >= 1, key, "must be at least 1")
        for key in ("weight_decay", "patience", "eval_steps", "eval_rouge", "neftune"):
            _check(getattr(self, key) >= 0, key, "must not be negative")
        _check(self.max_tokens >= 16, "max_tokens", "must be at least 16")
        _check(not self.pack_tokens or self.packing, "pack_tokens", "is for packing: set packing = true")
        _check(
            not self.pack_tokens or self.pack_tokens >= self.max_tokens, "pack_tokens", "must be at least max_tokens"
        )
        _check(0 <= self.warmup < 1, "warmup", "must be a fraction of the steps, from 0 to less than 1")
        _check(0 <= self.label_smoothing < 1, "label_smoothing", "must be from 0 to less than 1")
        for place in self.report:
            _check(place in REPORTS, "report", f"may hold {' and '.join(REPORTS)}, not '{place}'")
        by_score = self.choose_by not in ("auto", "loss", "last")
        _check(not by_score or self.eval_rouge > 0, "choose_by", f"'{self.choose_by}' needs eval_rouge above 0")

    def measure(self, evaluates: bool, silent: bool) -> Literal["eval_loss", "eval_rouge"] | None:
        """What the kept weights are chosen by; None for the last ones.

        evaluates: whether there are evaluation rows. silent: whether no summaries are written.
        """
        if not evaluates or self.choose_by == "last":
            return None
        if self.choose_by == "loss" or not self.eval_rouge or silent:
            return "eval_loss"
        return "eval_rouge"

    def metric(self, language: str) -> str:
        """The metric of the evaluation's summaries."""
        if self.choose_by in ("auto", "loss", "last"):
            return main_metric(language)
        return self.choose_by


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraParams(TrainingParams):
    """A low-rank adapter (Hu et al. 2021) on every linear layer but the output, with the QLoRA paper's settings.

    r: rank. alpha: its weight is alpha / r (alpha / sqrt(r) in rslora). dropout: without it, 0.1 for models of up
    to 13 billion weights and 0.05 above. lora_plus: how many times the learning rate of A that of B is (LoRA+,
    Hayou et al. 2024); 0 gives both the same.
    target_modules: names of the layers that get an adapter, such as ``q_proj``; none means all linear layers but the
    output. modules_to_save: layers that are trained whole and kept beside the adapter, such as ``embed_tokens``.
    init: how the adapter begins. ``default``: A uniform, B zero. ``gaussian``: A normal. ``pissa``: both hold the
    base's principal components (Meng et al. 2024). ``olora``: an orthonormal basis of it (Büyükakyüz 2024). What these
    two take out of the base is given back when the adapter is saved, which doubles its rank.
    """

    r: int = 16
    alpha: float = 32.0
    dropout: float | None = None
    lora_plus: float = 0.0
    target_modules: tuple[str, ...] = ()
    modules_to_save: tuple[str, ...] = ()
    init: Literal["default", "gaussian", "pissa", "olora"] = "default"

    def __post_init__(self) -> None:
        TrainingParams.__post_init__(self)
        _check(self.r >= 1, "r", "must be at least 1")
        _check(self.alpha > 0, "alpha", "must be more than 0")
        _check(self.dropout is None or 0 <= self.dropout < 1, "dropout", "must be from 0 to less than 1")
        _check(self.lora_plus == 0 or self.lora_plus >= 1, "lora_plus", "must be 0 or at least 1")
        moves = self.init in MOVING and bool(self.modules_to_save)
        _check(not moves, "init", f"'{self.init}' does not go together with modules_to_save")

    def dropout_for(self, weights: float) -> float:
        """The dropout of a model with that many weights."""
        if self.dropout is not None:
            return self.dropout
        return 0.1 if weights <= LARGE else 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class PairParams(LoraParams):
    """A low-rank adapter that learns which of two summaries is better.

    Dropout is off, in the base too, as in TRL: what the loss compares must differ by the weights alone.
    """

    lr: float = 5e-6
    epochs: float = 1.0
    warmup: float = 0.1
    max_grad_norm: float = 1.0
    dropout: float | None = 0.0

    def __post_init__(self) -> None:
        LoraParams.__post_init__(self)
        _check(not self.packing, "packing", "is for summaries, not for pairs of them")
        _check(not self.label_smoothing, "label_smoothing", "is for summaries, not for pairs of them")


@dataclass(frozen=True, slots=True, kw_only=True)
class DpoParams(PairParams):
    """Direct preference optimisation (Rafailov et al. 2023), with the learning rate that TRL gives for adapters.

    beta: how firmly the network is held to what it was before training; a smaller one lets it go further.
    """

    beta: float = 0.1

    def __post_init__(self) -> None:
        PairParams.__post_init__(self)
        _check(self.beta > 0, "beta", "must be more than 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class OrpoParams(PairParams):
    """Odds ratio preference optimisation (Hong et al. 2024): the better text is learnt, and preferred to the worse.

    beta: weight of the odds ratio beside the loss of the better text (lambda in the paper). lr: ten times the paper's,
    as adapters take.
    """

    lr: float = 8e-5
    beta: float = 0.1

    def __post_init__(self) -> None:
        PairParams.__post_init__(self)
        _check(self.beta > 0, "beta", "must be more than 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class FullParams(TrainingParams):
    """Every weight is trained: for encoder-decoders the size of koBART."""

    lr: float = 1e-5
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    warmup: float = 0.1
    batch: int = 8
    accumulate: int = 2
    max_grad_norm: float = 1.0
    weight_decay: float = 0.01
    optimizer: Literal["adamw_torch", "paged_adamw_32bit", "adafactor"] = "adamw_torch"
    save_steps: int = 200


def _check(holds: bool, key: str, problem: str) -> None:
    if not holds:
        raise ValueError(f"{key} {problem}")
