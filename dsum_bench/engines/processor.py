"""What this machine's processor can do. No torch."""

from __future__ import annotations

from pathlib import Path

INSTRUCTIONS = frozenset({"avx512_vnni", "avx_vnni"})


def multiplies_bytes(file: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether it has instructions (VNNI) that multiply bytes and add the products in 32 bits. Without them products in
    8 bits are slower than in float32, and their sums can overflow."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith("flags")), "")
    return not INSTRUCTIONS.isdisjoint(flags.split())
