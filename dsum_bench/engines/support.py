"""Whether what is installed here can load a checkpoint; found before anything is loaded."""

from __future__ import annotations

from collections.abc import Container, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from runpy import run_path
from typing import Any

from dsum_bench.engines.processor import multiplies_bytes
from dsum_bench.errors import ModelError, ModelSkipped
from dsum_bench.spec import ModelSpec, Placement


def check(model: ModelSpec, config: Mapping[str, Any], placement: Placement) -> None:
    """Refuse what cannot be loaded.

    config: the checkpoint's ``config.json``, {} if not available.

    Raises:
        ModelSkipped: a package is missing here. ModelError: transformers does not know its architecture.
    """
    if placement.device == "cpu" and placement.quantization == "int8":
        if not multiplies_bytes():
            raise ModelSkipped(
                "int8 on a CPU needs a processor with VNNI (avx512_vnni or avx_vnni among the flags in /proc/cpuinfo), "
                'which this one is not: use quantization = "none"'
            )
    elif placement.quantization != "none" and find_spec("bitsandbytes") is None:
        raise ModelSkipped(
            f"{placement.quantization} needs the package bitsandbytes, which is not installed: pip install "
            'bitsandbytes, or use quantization = "none"'
        )
    attention = str(config.get("attn_implementation") or config.get("_attn_implementation") or "")
    if attention.startswith("flash_attention_2") and find_spec("flash_attn") is None:
        raise ModelSkipped(
            "its config.json asks for flash attention, and the package flash-attn is not installed: pip install "
            'flash-attn, or take "attn_implementation" out of a copy of its config.json'
        )
    kind = config.get("model_type")
    if kind is not None and "remote-code" not in model.allow and not _known(kind):
        hint = ' or allow its own code with allow = ["remote-code"]' if "auto_map" in config else ""
        raise ModelError(f"the installed transformers does not know model type '{kind}'; upgrade it{hint}")


def check_code(folder: Path) -> None:
    """Refuse a checkpoint whose own code needs packages that are not installed.

    Raises:
        ModelSkipped: names them.
    """
    from transformers.dynamic_module_utils import get_imports

    needed = {name for file in folder.glob("*.py") for name in get_imports(file)}
    missing = sorted(name for name in needed if find_spec(name) is None)
    if missing:
        raise ModelSkipped(f"its own code needs packages that are not installed: {', '.join(missing)}")


@cache
def _known(kind: str) -> bool:
    """Whether transformers has this model type. Its table is a file of its own that imports nothing; transformers with
    torch, which take two seconds, are asked only for what is not in there."""
    if kind in _table():
        return True
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    return kind in CONFIG_MAPPING_NAMES


@cache
def _table() -> Container[str]:
    package = find_spec("transformers")
    file = Path(package.origin or "").parent / "models" / "auto" / "auto_mappings.py" if package else Path()
    names: Container[str] = run_path(str(file)).get("CONFIG_MAPPING_NAMES", {}) if file.is_file() else {}
    return names
