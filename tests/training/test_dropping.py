"""Dropout on the CPU: what is dropped, what is left, and that it is the same again from the same state."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st


def layer(p: float) -> Any:
    from dsum_bench.training.dropping import QuickDropout

    return QuickDropout(p)


@settings(deadline=None, max_examples=30)  # the first example imports torch
@given(p=st.floats(0.001, 0.999), rows=st.integers(1, 7), columns=st.integers(1, 999), seed=st.integers(0, 99))
def test_what_stays_is_scaled_and_its_gradient_too(p: float, rows: int, columns: int, seed: int) -> None:
    import torch

    torch.manual_seed(seed)
    values = (torch.rand(rows, columns) + 1).requires_grad_()
    left = layer(p)(values)
    scale = 1 / (1 - round(p * 65536) / 65536)
    kept = left != 0
    assert torch.allclose(left[kept], values[kept] * scale, rtol=1e-6)
    left.backward(torch.full_like(left, 3.0))
    assert values.grad is not None
    assert torch.allclose(values.grad, torch.where(kept, 3.0 * scale, torch.tensor(0.0)), rtol=1e-6)


@pytest.mark.parametrize("p", [0.05, 0.1, 0.5])
def test_as_many_are_dropped_as_asked_for_and_neighbours_know_nothing_of_each_other(p: float) -> None:
    import torch

    torch.manual_seed(0)
    count = 1_000_000
    dropped = (layer(p)(torch.ones(count)) == 0).double()
    spread = math.sqrt(p * (1 - p) / count)
    assert abs(float(dropped.mean()) - p) < 5 * spread + 1e-5
    for apart in (1, 2, 3, 4, 8, 576):  # four elements share a drawn number
        together = float((dropped[apart:] * dropped[:-apart]).mean())
        assert abs(together - p * p) < 5 * math.sqrt(p * p * (1 - p * p) / count) + 1e-5, apart


def test_the_same_state_drops_the_same_and_a_layer_that_is_computed_again_too() -> None:
    import torch
    from torch.utils.checkpoint import checkpoint

    values = torch.ones(4, 100, requires_grad=True)
    torch.manual_seed(1)
    first = layer(0.3)(values)
    second = layer(0.3)(values)
    torch.manual_seed(1)
    assert torch.equal(layer(0.3)(values), first) and not torch.equal(first, second)
    torch.manual_seed(1)
    again: Any = checkpoint(lambda v: layer(0.3)(v) * 2, values, use_reentrant=False)
    (gradient,) = torch.autograd.grad(again.sum(), values)
    assert torch.equal(again, first * 2) and torch.allclose(gradient, first * 2)


def test_nothing_is_dropped_where_nothing_is_asked_for() -> None:
    import torch

    from dsum_bench.training.dropping import QuickDropout, quicken

    values = torch.rand(3, 5)
    assert torch.equal(layer(0.5).eval()(values), values) and torch.equal(layer(0.0)(values), values)
    assert torch.equal(layer(1.0)(values), torch.zeros(3, 5))
    network = torch.nn.ModuleDict({"a": torch.nn.Sequential(torch.nn.Dropout(0.2)), "b": torch.nn.Dropout(0.0),
                                   "c": torch.nn.Dropout1d(0.2)}).eval()  # fmt: skip
    quicken(network)
    kinds = {name: type(module).__name__ for name, module in network.named_modules()}
    assert (kinds["a.0"], kinds["b"], kinds["c"]) == ("QuickDropout", "Dropout", "Dropout1d")
    quick: Any = network["a"][0]
    assert isinstance(quick, QuickDropout) and quick.p == 0.2 and not quick.training
