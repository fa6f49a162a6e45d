"""sqlite-utils without what it loads beside itself."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

UNUSED = ("pandas", "numpy")
"""Packages that sqlite-utils imports where they are installed, to know their types as columns. We store none of them,
and loading them takes half a second of every command that writes."""


def sqlite_utils() -> ModuleType:
    """The package ``sqlite_utils``. Packages that are loaded already stay as they are."""
    hidden = [name for name in UNUSED if name not in sys.modules]
    if "sqlite_utils" in sys.modules:
        hidden = []
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # importing it is an ImportError, as if it were missing
    try:
        return import_module("sqlite_utils")
    finally:
        for name in hidden:
            del sys.modules[name]
