"""What is done to a summary after it was written: steps that work on stored outputs."""

from __future__ import annotations

from collections.abc import Callable

from dsum_bench import hookimpl
from dsum_bench.postprocess.base import Postprocessor


@hookimpl
def dsum_register_postprocessors(register: Callable[[type[Postprocessor]], None]) -> None:
    from dsum_bench.postprocess import sentences, tags, wording

    for step in (
        wording.Spaces,
        wording.Meta,
        tags.Tags,
        tags.Particles,
        sentences.Unfinished,
        sentences.Repeats,
    ):
        register(step)
