"""Learning which of two summaries is better: batches of pairs, their log-probabilities, and the loop that learns them.

The loop, its checkpoints and its evaluation are those of summaries. Imports torch and transformers: import it inside
methods only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import log_softmax

from dsum_bench.training import loss
from dsum_bench.training.batches import Collator, Rows
from dsum_bench.training.stepping import Stepping
from dsum_bench.training.texts import IGNORED

BEFORE = "before"
"""Key of a row and of a batch: log-probabilities of both summaries before training."""

DROPS = ("dropout", "attention_dropout", "activation_dropout", "dropout_rate")
"""Numbers by which layers of transformers drop."""


@dataclass(frozen=True, slots=True)
class PairScores:
    """Log-probabilities of a batch of pairs. better, worse: of the summaries, summed over their tokens, in nats;
    better_tokens, worse_tokens: how many these are; better_before, worse_before: what the network gave them before
    training, 0 where the trainer does not ask. All of shape (pairs,).

    text_loss: mean cross-entropy of all tokens of the better texts, or of their summaries where no prompt is read.
    """

    better: torch.Tensor
    worse: torch.Tensor
    better_tokens: torch.Tensor
    worse_tokens: torch.Tensor
    better_before: torch.Tensor
    worse_before: torch.Tensor
    text_loss: torch.Tensor


class Paired:
    """Lays the better texts of a batch first and the worse ones after them. Rows that evaluate are no pairs and go
    through as they are.

    whole: whether logits are needed where no label stands, those of the prompts.
    """

    def __init__(self, padded: Collator, whole: bool) -> None:
        self.padded, self.whole = padded, whole

    def __call__(self, rows: Rows) -> dict[str, Any]:
        """Tensors of shape (2 pairs, longest row); shift_labels (pairs, 1), which the Trainer counts."""
        if "rejected" not in rows[0]:
            return self.padded(rows)
        both = [{"input_ids": row["input_ids"], "labels": row["labels"]} for row in rows]
        made = self.padded([*both, *(row["rejected"] for row in rows)], self.whole)
        made["shift_labels"] = torch.zeros((len(rows), 1), dtype=torch.long)
        made[BEFORE] = torch.tensor([row.get(BEFORE, (0.0, 0.0)) for row in rows])
        return made


def scores(logits: torch.Tensor, batch: Mapping[str, Any], whole: bool) -> PairScores:
    """What the network gives the summaries of a batch of pairs.

    Args:
        logits: (2 pairs, tokens, vocabulary), those of the better texts first.
        whole: whether text_loss takes the prompts in.
    """
    labels = batch["labels"].to(logits.device)
    told = labels != IGNORED
    sums, counts = log_probs(logits, labels), told.sum(1)
    half = len(labels) // 2
    before = batch[BEFORE].to(logits.device)
    learnt = labels[:half]
    if whole and "decoder_input_ids" not in batch:
        ids, mask = batch["input_ids"][:half], batch["attention_mask"][:half].bool()
        learnt = torch.full_like(ids, IGNORED)
        learnt[:, :-1] = torch.where(mask[:, 1:] & mask[:, :-1], ids[:, 1:], IGNORED)
    text = loss.summed(logits[:half], learnt) / loss.count(learnt)
    return PairScores(sums[:half], sums[half:], counts[:half], counts[half:], before[:, 0], before[:, 1], text)


def log_probs(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Log-probability of each row's labelled tokens in nats, summed: shape (rows,)."""
    told = labels != IGNORED
    each = log_softmax(logits.float(), dim=-1).gather(2, labels.clamp(min=0).unsqueeze(2)).squeeze(2)
    return (each * told).sum(1)


def remember(
    network: Any, collate: Paired, rows: Rows, size: int, mixed: torch.dtype | None, tell: Callable[[int], None]
) -> None:
    """Put into each row what the network gives its two summaries now, before training.

    Args:
        size: pairs at a time.
        mixed: dtype that training computes in, where that is not the weights' own.
        tell: is given the number of pairs done.
    """
    was = network.training
    network.eval()
    order = sorted(range(len(rows)), key=lambda n: len(rows[n]["input_ids"]))
    with torch.no_grad(), torch.autocast(network.device.type, mixed, enabled=mixed is not None):
        for at in range(0, len(order), size):
            some = [rows[n] for n in order[at : at + size]]
            batch = collate(some)
            moved = {name: v.to(network.device) if isinstance(v, torch.Tensor) else v for name, v in batch.items()}
            logits = network(**loss.inputs_of(moved), use_cache=False).logits
            found = log_probs(logits, moved["labels"]).view(2, -1).T.tolist()
            for row, pair in zip(some, found, strict=True):
                row[BEFORE] = pair
            tell(at + len(some))
    network.train(was)


def disable_dropout(network: Any) -> None:
    """Have nothing dropped, in the base too: neither by layers nor, as in BART, by functions with a layer's number."""
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for name in DROPS:
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)


class Preferring(Stepping):
    """The loop of pairs. An update's loss is a mean over all its pairs; evaluation is that of summaries.

    pair_loss: the loss of a batch, a mean over its pairs. whole: whether it takes the prompts in.
    """

    def __init__(self, *, pair_loss: Callable[[PairScores], Any], whole: bool, **rest: Any) -> None:
        super().__init__(**rest)
        self.pair_loss, self.whole = pair_loss, whole

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The share of this batch in the mean over ``num_items_in_batch`` pairs."""
        if BEFORE not in inputs:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        outputs = model(**loss.inputs_of(inputs), use_cache=False)
        told = self.pair_loss(scores(outputs.logits, inputs, self.whole))
        # Gradients are averaged over processes afterwards.
        share = told * len(inputs[BEFORE]) * self.accelerator.num_processes / num_items_in_batch
        return (share, outputs) if return_outputs else share
