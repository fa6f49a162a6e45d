"""Batches of training: which rows share one, and packing, which changes no loss and no gradient."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsum_bench.errors import ModelError
from dsum_bench.training.texts import IGNORED, TrainingText

VOCABULARY = 50


def network(family: str, **changes: Any) -> Any:
    import torch
    import transformers

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
             "num_key_value_heads": 2, "head_dim": 8, "initializer_range": 0.3}  # fmt: skip
    torch.manual_seed(1)
    config = getattr(transformers, f"{family}Config")(vocab_size=VOCABULARY, **sizes, **changes)
    return transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)


def texts() -> list[TrainingText]:
    rng = random.Random(2)
    made = []
    for n, (prompt, summary) in enumerate(((12, 5), (30, 9), (7, 1), (21, 12))):
        ids = [rng.randrange(VOCABULARY) for _ in range(prompt + summary)]
        made.append(TrainingText(str(n), tuple(ids), (IGNORED,) * prompt + tuple(ids[prompt:])))
    return made


def takes(model: Any) -> Any:
    import inspect

    return inspect.signature(model.forward).parameters


def loss_and_gradients(model: Any, batch: Any) -> tuple[float, dict[str, Any]]:
    model.zero_grad()
    loss = model(**batch, use_cache=False).loss
    loss.backward()
    return float(loss.detach()), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


FAMILIES = {
    "llama": lambda: network("Llama"),
    "qwen3": lambda: network("Qwen3"),
    "gemma3, a window shorter than the rows": lambda: network("Gemma3Text", sliding_window=8),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_rows_have_the_loss_and_the_gradients_of_each_row_alone(family: str) -> None:
    import torch

    from dsum_bench.training.batches import Collator, packing, rows_of

    model, rows = FAMILIES[family](), rows_of(texts())
    packed = packing(model, Collator(0, decoder=True, slices=True), texts(), takes(model))
    loss, gradients = loss_and_gradients(model, packed(rows))
    # The oracle: transformers' own loss of each row, neither filled nor packed, weighted by its labels.
    counts = [sum(label != IGNORED for label in row["labels"]) for row in rows]
    model.zero_grad()
    alone = 0.0
    for row, count in zip(rows, counts, strict=True):
        part = model(input_ids=torch.tensor([row["input_ids"]]), labels=torch.tensor([row["labels"]])).loss
        (part * count / sum(counts)).backward()
        alone += float(part.detach()) * count / sum(counts)
    assert loss == pytest.approx(alone, rel=1e-5)
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            assert torch.allclose(gradients[name], parameter.grad, atol=1e-5), name
    padded_loss, _ = loss_and_gradients(model, Collator(0, decoder=True, slices=True)(rows))
    assert padded_loss == pytest.approx(alone, rel=1e-5)
    assert packed(rows)["input_ids"].shape == (1, sum(len(t.input_ids) for t in texts()))


def test_packing_is_refused_where_rows_would_see_each_other() -> None:
    from dsum_bench.training.batches import Collator, packing

    model = network("Lfm2", layer_types=["conv", "full_attention", "conv"])
    with pytest.raises(ModelError, match="packing changes its loss"):
        packing(model, Collator(0, decoder=True, slices=True), texts(), takes(model))


def test_packing_is_refused_where_positions_cannot_be_given() -> None:
    from dsum_bench.training.batches import Collator, packing

    with pytest.raises(ModelError, match="no position_ids"):
        packing(None, Collator(0, decoder=True, slices=False), texts(), {"logits_to_keep": None})


@settings(deadline=None)  # the first example imports transformers
@given(lengths=st.lists(st.integers(1, 500), min_size=1, max_size=60), size=st.integers(1, 8), seed=st.integers(0, 9))
def test_an_epoch_holds_every_row_once_in_an_order_that_can_be_found_again(
    lengths: list[int], size: int, seed: int
) -> None:
    import torch

    from dsum_bench.training.order import GroupedByLength

    first = list(GroupedByLength(lengths, size, seed, lambda: None))
    assert sorted(first) == list(range(len(lengths)))
    torch.rand(3)  # dropout draws from the global generator
    assert list(GroupedByLength(lengths, size, seed, lambda: 0.625)) == first
    second = list(GroupedByLength(lengths, size, seed, lambda: 1.0))
    assert sorted(second) == list(range(len(lengths)))
    assert second == list(GroupedByLength(lengths, size, seed, lambda: 1.25))
    if len(lengths) > 40:
        assert first != second


def test_rows_of_like_length_share_a_batch() -> None:
    from dsum_bench.training.order import GroupedByLength

    lengths = random.Random(1).choices(range(10, 500), k=400)

    def filled(order: list[int]) -> int:
        """Tokens of all batches of 8, filled up."""
        batches = [order[at : at + 8] for at in range(0, len(order), 8)]
        return sum(8 * max(lengths[row] for row in batch) for batch in batches)

    grouped = list(GroupedByLength(lengths, 8, 0, lambda: None))
    assert filled(grouped) < 1.1 * sum(lengths) < 1.5 * sum(lengths) < filled(list(range(400)))


@settings(deadline=None)
@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=60), size=st.integers(60, 200))
def test_bins_hold_every_row_once_within_their_size_and_are_few(lengths: list[int], size: int) -> None:
    from dsum_bench.training.bins import fitted

    found = fitted(lengths, size)
    assert sorted(row for rows in found for row in rows) == list(range(len(lengths)))
    filled = [sum(lengths[row] for row in rows) for rows in found]
    assert max(filled) <= size
    # No two of them would fit into one, so that all but one are more than half full.
    assert all(a + b > size for i, a in enumerate(filled) for b in filled[:i])


def test_known_rows_fit_into_as_few_bins_as_can_be() -> None:
    from dsum_bench.training.bins import fitted

    assert fitted([4, 8, 1, 4, 2, 1], 10) == [[1, 4], [0, 3, 2, 5]]  # Wikipedia's example of decreasing orders
    assert fitted([12, 3], 10) == [[0], [1]]
