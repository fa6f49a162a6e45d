"""For plugin authors' tests: the rules every part must keep, as base classes, and what they need.

    class TestMine(AdapterRules):
        adapter = Mine
        tokenizer = byte_tokenizer(CHATML)

Import what you use; ``pytest_plugins = ["dsum_bench.testing"]`` in a conftest adds the fixture ``korean_samples``.
Nothing here is loaded unless your tests import it. It needs pytest, which dsum-bench itself does not.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    f"{__name__}.adapters", f"{__name__}.scores", f"{__name__}.running", f"{__name__}.summaries"
)

from dsum_bench.spec import Sample  # noqa: E402
from dsum_bench.testing.adapters import AdapterRules  # noqa: E402
from dsum_bench.testing.making import (  # noqa: E402
    CHATML,
    SAMPLES,
    byte_tokenizer,
    make_adapter,
    make_written,
    tiny_network,
)
from dsum_bench.testing.running import DecodingRules, EngineRules, TrainerRules  # noqa: E402
from dsum_bench.testing.scores import CheckRules, DatasetRules, MetricRules  # noqa: E402
from dsum_bench.testing.summaries import PostprocessorRules  # noqa: E402

__all__ = [
    "CHATML",
    "SAMPLES",
    "AdapterRules",
    "CheckRules",
    "DatasetRules",
    "DecodingRules",
    "EngineRules",
    "MetricRules",
    "PostprocessorRules",
    "TrainerRules",
    "byte_tokenizer",
    "korean_samples",
    "make_adapter",
    "make_written",
    "tiny_network",
]


@pytest.fixture
def korean_samples() -> tuple[Sample, ...]:
    """Three Korean dialogues with tags, masks and references."""
    return SAMPLES
