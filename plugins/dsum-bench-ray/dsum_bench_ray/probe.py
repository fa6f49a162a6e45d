"""What a node says of itself. Sent to nodes by value: they may have another version of this package, or none."""

from __future__ import annotations

from typing import Any


def probe() -> dict[str, Any]:
    """Host, versions of Python, dsum-bench and its plugins, and what the machine has; ``problem`` where that fails."""
    import platform
    import socket
    from importlib.metadata import entry_points

    found: dict[str, Any] = {"host": socket.gethostname(), "python": platform.python_version(), "plugins": {}}
    try:
        import dsum_bench

        found["dsum-bench"] = dsum_bench.__version__
        for entry in entry_points(group="dsum_bench"):
            if entry.dist is not None:
                found["plugins"][entry.dist.name] = entry.dist.version
        from dataclasses import asdict

        from dsum_bench.machine import detect

        found["machine"] = asdict(detect())
    except ImportError as error:
        found["problem"] = f"dsum-bench cannot be imported there ({error})"
    return found
