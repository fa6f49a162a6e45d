"""Asking all checks; one that fails costs nothing but its own answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from dsum_bench.checks.base import Answer, Check, RunOutputs, Setup
from dsum_bench.errors import plugin_code
from dsum_bench.spec import Finding, RunSpec, Sample

if TYPE_CHECKING:
    from dsum_bench.plugins import Plugins

LEVELS = ("error", "warning", "note")


def data(plugins: Plugins, run: RunSpec, samples: Sequence[Sample], warn: Callable[[str], None]) -> list[Finding]:
    """What the checks find in dialogues and references, the gravest first."""
    return _ask(plugins.checks, lambda check: check.data(run, samples), warn)


def before(plugins: Plugins, setup: Setup, warn: Callable[[str], None]) -> list[Finding]:
    """What the static checks find, the gravest first; of a control only what concerns its data."""
    found = data(plugins, setup.run, setup.samples, warn)
    if setup.adapter.architecture != "none":
        found += _ask(plugins.checks, lambda check: check.before(setup), warn)
    return _gravest_first(found)


def after(plugins: Plugins, written: RunOutputs, control: bool, warn: Callable[[str], None]) -> list[Finding]:
    """What the checks of outputs and scores find, the gravest first; of a control only what concerns its scores."""
    if not written.outputs:
        return []
    checks = {n: c for n, c in plugins.checks.items() if c.controls or not control}
    return _ask(checks, lambda check: check.after(written), warn)


def stored(plugins: Plugins, findings: Sequence[Finding]) -> list[Finding]:
    """The findings that are kept with the run."""
    return [f for f in findings if f.check not in plugins.checks or plugins.checks[f.check].stored]


def early(plugins: Plugins, written: RunOutputs, warn: Callable[[str], None]) -> list[Finding]:
    """What can be seen already while most samples are missing, notes left out."""
    checks = {n: c for n, c in plugins.checks.items() if c.early}
    return [f for f in _ask(checks, lambda check: check.after(written), warn) if f.level != "note"]


def _ask(
    checks: Mapping[str, type[Check]], question: Callable[[Check], Answer], warn: Callable[[str], None]
) -> list[Finding]:
    found: list[Finding] = []
    for name, check in checks.items():
        try:
            with plugin_code():
                answer = question(check())
        except Exception as error:  # a check may be a plugin; its fault must cost no run
            warn(f"check {name} failed and was skipped: {type(error).__name__}: {error}")
            continue
        if answer is not None:
            found += [answer] if isinstance(answer, Finding) else answer
    return _gravest_first(found)


def _gravest_first(found: Sequence[Finding]) -> list[Finding]:
    return sorted(found, key=lambda f: LEVELS.index(f.level))
