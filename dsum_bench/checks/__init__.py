"""Protocol checks: ways in which a run's numbers could be wrong, each looked for on every run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from dsum_bench import hookimpl

if TYPE_CHECKING:
    from dsum_bench.checks.base import Check


@hookimpl
def dsum_register_checks(register: Callable[[type[Check]], None]) -> None:
    from dsum_bench.checks import (
        clock,
        data,
        likeness,
        markers,
        outputs,
        prompts,
        reach,
        scores,
        texts,
        vocabulary,
        whole,
    )

    for module in (prompts, whole, markers, clock, vocabulary, reach, data, texts, outputs, likeness, scores):
        for check in module.CHECKS:
            register(check)
