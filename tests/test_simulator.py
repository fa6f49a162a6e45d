"""The simulator of sweeps: hand-worked sweeps, and bounds that hold for any."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.simulator import Model, Nodes, simulate

FAST = Model("fast", load=10.0, sample=1.0)


def test_one_node_loads_and_writes_one_after_the_other() -> None:
    """Two models: 10 + 100 + 10 + 100 seconds."""
    found = simulate([FAST, FAST], 100, Nodes(1))
    assert (found.seconds, found.loads, found.losses, found.again) == (pytest.approx(220), 2, 0, 0)
    assert found.busy == pytest.approx(200 / 220)


def test_two_nodes_share_one_model_in_pieces() -> None:
    """Both load for 10 s; of 64 samples each takes 16, then 16 more: 42 s."""
    found = simulate([FAST], 64, Nodes(2))
    assert (found.seconds, found.loads) == (pytest.approx(42), 2)


def test_a_slow_node_takes_fewer_pieces() -> None:
    """At 50 s the slow one, which loads for 20 and needs 30 s for 15, has just begun its second piece."""
    alike, one_slow = (simulate([FAST], 640, Nodes(2, slow=share)).seconds for share in (0.0, 0.5))
    assert alike < one_slow < 1.5 * alike


def test_a_lost_node_costs_its_load_and_the_samples_that_were_not_stored() -> None:
    without = simulate([FAST], 2_000, Nodes(2))
    found = simulate([FAST], 2_000, Nodes(2, fails=0.1, back=60.0), seed=1)
    assert found.losses > 0
    assert found.loads >= without.loads + found.losses - 1
    assert 0 <= found.again < 16 * found.losses
    assert found.seconds > without.seconds


@given(
    models=st.integers(1, 5),
    samples=st.integers(1, 400),
    count=st.integers(1, 9),
    spread=st.floats(0, 1),
    fails=st.sampled_from([float("inf"), 0.05]),
    seed=st.integers(0, 99),
)
def test_every_sample_is_written_and_no_sweep_is_faster_than_its_work(
    models: int, samples: int, count: int, spread: float, fails: float, seed: int
) -> None:
    """The work itself is in ``busy``: what all slots wrote in all, over what they could."""
    plain = simulate([Model("m", 5.0, 0.5, spread)] * models, samples, Nodes(1), seed)
    work = plain.busy * plain.seconds
    assert plain.seconds == pytest.approx(work + 5.0 * models)
    found = simulate([Model("m", 5.0, 0.5, spread)] * models, samples, Nodes(count, fails=fails, back=30.0), seed)
    written = found.busy * found.seconds * count
    assert work * (1 - 1e-9) <= written
    assert found.losses or written == pytest.approx(work)
    assert found.seconds >= 5.0 + work / count - 1e-6
