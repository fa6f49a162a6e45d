"""Printing every call of a hook, for authors who wonder when theirs is asked."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import pluggy

TRACE_VARIABLE = "DSUM_BENCH_TRACE_PLUGINS"


def trace(manager: pluggy.PluginManager) -> None:
    """Print one line on standard error for each call that reaches a plugin."""

    def before(name: str, implementations: Sequence[pluggy.HookImpl], arguments: Mapping[str, Any]) -> None:
        pass

    def after(
        outcome: pluggy.Result[Any], name: str, implementations: Sequence[pluggy.HookImpl], arguments: Mapping[str, Any]
    ) -> None:
        if implementations:
            failed = f": {outcome.exception!r}" if outcome.exception else ""
            said = ", ".join(f"{key}={_short(value)}" for key, value in arguments.items())
            owners = ", ".join(i.plugin_name for i in reversed(implementations))
            print(f"hook {name}({said}) of {owners}{failed}", file=sys.stderr, flush=True)

    manager.add_hookcall_monitoring(before, after)


def _short(value: object) -> str:
    """A plain value as it is, anything else by its type: a run or a list of outputs would fill the screen."""
    return repr(value) if isinstance(value, str | int | float) else type(value).__name__
