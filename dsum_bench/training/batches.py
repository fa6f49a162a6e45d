"""From training texts to the tensors of a batch. Imports torch: import this module inside methods only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any

import torch

from dsum_bench.errors import ModelError
from dsum_bench.training import loss
from dsum_bench.training.texts import IGNORED, TrainingText

Rows = list[dict[str, Any]]
BLANK = "blank"
"""Key of a row that is there for the number of rows alone: none of its tokens is labelled."""
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 3e-2, torch.float16: 1e-2}
"""Largest relative difference of the loss that rounding may make."""


class Collator:
    """Fills rows up to the longest. What is filled is masked and has no label, so that its id, whatever it is, is
    learnt by nobody; an end token that is also the padding keeps its label.

    A decoder's rows are filled on the left: their summaries then end together, and logits are only computed where
    a label may stand. With a vocabulary of 128,000 that is most of the memory of a small batch.
    """

    def __init__(
        self, pad: int, decoder: bool, slices: bool, decoder_inputs: Callable[[Any], Any] | None = None
    ) -> None:
        self.pad = pad
        self.decoder = decoder
        self.slices = slices
        self.decoder_inputs = decoder_inputs

    def __call__(self, rows: Rows, whole: bool = False) -> dict[str, Any]:
        """Tensors of shape (rows, longest row); labels, the token that each logit should tell, (rows, logits).

        whole: whether there are logits of the prompts too.
        """
        masks = [[1] * len(row["input_ids"]) for row in rows]
        made: dict[str, Any] = {
            "input_ids": _filled([row["input_ids"] for row in rows], self.pad, self.decoder),
            "attention_mask": _filled(masks, 0, self.decoder),
            "labels": _filled([row["labels"] for row in rows], IGNORED, self.decoder),
        }
        if self.decoder_inputs is not None:
            made["decoder_input_ids"] = self.decoder_inputs(made["labels"])
        made["labels"][[BLANK in row for row in rows]] = IGNORED
        if self.slices:
            # One more than the longest summary: its first token is told by the last of the prompt.
            longest = made["labels"].shape[1]
            kept = longest if whole else max(sum(label != IGNORED for label in row["labels"]) for row in rows) + 1
            made["labels"] = made["labels"][:, -kept:]
            made["logits_to_keep"] = kept
            made["position_ids"] = (made["attention_mask"].cumsum(1) - 1).clamp(min=0)
        if self.decoder:
            # A decoder's logit tells the next token; the last one tells nothing.
            made["labels"] = torch.nn.functional.pad(made["labels"][:, 1:], (0, 1), value=IGNORED)
        return made | {"shift_labels": made["labels"]}


def decoder_inputs(network: Any) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """What gives an encoder-decoder's decoder its inputs from the labels; None for a decoder.

    Raises:
        ModelError: the architecture has no such function.
    """
    if not network.config.is_encoder_decoder:
        return None
    made = getattr(network, "prepare_decoder_input_ids_from_labels", None)
    if made is None:
        raise ModelError(f"transformers' {type(network).__name__} cannot be trained here: it makes no decoder inputs")
    return lambda labels: made(labels=labels)


class Packed:
    """Lays the rows of a batch one after the other in a single one. Positions start over with each row, from which
    transformers makes a mask that lets a row see only itself. Logits are computed where the next token has a label.
    """

    def __call__(self, rows: Rows) -> dict[str, Any]:
        """Tensors of shape (1, tokens of all rows); shift_labels (1, labelled tokens). A row may be a bin of rows."""
        rows = [one for row in rows for one in row.get("rows", [row])]
        ids = [i for row in rows for i in row["input_ids"]]
        labels = [IGNORED if BLANK in row else label for row in rows for label in row["labels"]]
        places = [n for row in rows for n in range(len(row["input_ids"]))]
        told = [at for at, label in enumerate(labels) if label != IGNORED and places[at] > 0]
        wanted = torch.tensor([[labels[at] for at in told]], dtype=torch.long)
        return {
            "input_ids": torch.tensor([ids], dtype=torch.long),
            "position_ids": torch.tensor([places], dtype=torch.long),
            "logits_to_keep": torch.tensor(told, dtype=torch.long) - 1,
            "labels": wanted,
            "shift_labels": wanted,
        }


def packing(network: Any, padded: Collator, texts: Sequence[TrainingText], takes: Mapping[str, object]) -> Packed:
    """The packing collator, once a batch of this very network has shown the loss that it has when padded.

    Args:
        takes: names that the network's ``forward`` takes.

    Raises:
        ModelError: the network's rows would see each other, or it cannot be asked for single logits.
    """
    if not padded.slices:
        missing = "logits_to_keep" if "logits_to_keep" not in takes else "position_ids"
        raise ModelError(f"its architecture cannot pack rows (no {missing}); leave packing off")
    some = rows_of(sorted(texts, key=lambda t: len(t.input_ids))[:3])
    was = network.training
    network.eval()
    with torch.no_grad(), torch.random.fork_rng():
        apart, together = (float(loss.mean(network, collate(some))) for collate in (padded, Packed()))
    network.train(was)
    dtype = next(p.dtype for p in network.parameters() if p.is_floating_point())
    if abs(apart - together) > TOLERANCE.get(dtype, 3e-2) * abs(apart):
        raise ModelError(f"packing changes its loss ({together:.5f} instead of {apart:.5f}); leave packing off")
    return Packed()


def seconds_per_batch(
    network: Any, collate: Callable[[Rows], dict[str, Any]], texts: Sequence[TrainingText], size: int
) -> float:
    """Seconds that a batch of rows of average length takes, forward and backward; the better of two."""
    mean = sum(len(t.input_ids) for t in texts) / len(texts)
    near = sorted(texts, key=lambda t: abs(len(t.input_ids) - mean))[:size]
    batch, found = collate(rows_of(near)), []
    was = network.training
    network.train()
    with torch.random.fork_rng():
        for _ in range(2):
            start = perf_counter()
            loss.mean(network, batch).backward()  # type: ignore[no-untyped-call]
            if network.device.type == "cuda":
                torch.cuda.synchronize()
            found.append(perf_counter() - start)
    network.zero_grad(set_to_none=True)
    network.train(was)
    return min(found)


def rows_of(texts: Sequence[TrainingText]) -> Rows:
    """What a collator is given."""
    return [_row(t) | ({"rejected": _row(t.rejected)} if t.rejected else {}) for t in texts]


def bins_of(bins: Sequence[Sequence[TrainingText]]) -> Rows:
    """What a packing collator is given of bins. input_ids: for their length."""
    return [{"rows": rows_of(some), "input_ids": [i for t in some for i in t.input_ids]} for some in bins]


def _row(text: TrainingText) -> dict[str, Any]:
    return {"input_ids": list(text.input_ids), "labels": list(text.labels)}


def _filled(rows: Sequence[Sequence[int]], value: int, left: bool) -> torch.Tensor:
    width = max(len(row) for row in rows)
    fills = [[value] * (width - len(row)) for row in rows]
    filled = [[*fill, *row] if left else [*row, *fill] for fill, row in zip(fills, rows, strict=True)]
    return torch.tensor(filled, dtype=torch.long)
