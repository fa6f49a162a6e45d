"""Writing the package that a plugin author begins with, from the templates beside this file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Literal, get_args

from dsum_bench import API_VERSION
from dsum_bench.errors import UserError

Kind = Literal["adapter", "metric", "decoding", "engine", "trainer", "check", "dataset", "postprocessor"]
KINDS: tuple[Kind, ...] = get_args(Kind)
PREFIX = "dsum-bench-"
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
TEMPLATES = Path(__file__).with_name("templates")


def create(name: str, kind: Kind, folder: Path) -> list[Path]:
    """Write the package into ``folder/dsum-bench-NAME``; returns that folder, then its files.

    Raises:
        UserError: a name that is invalid or built in already, or a folder that exists or cannot be written.
    """
    from dsum_bench.plugins import Plugins
    from dsum_bench.spec import PluginSettings

    texts = files(name, kind)
    plain = name.removeprefix(PREFIX)
    if plain in getattr(Plugins(PluginSettings(())), f"{kind}s"):
        raise UserError(f"the {kind} '{plain}' is built in already; choose another name")
    made = folder / f"{PREFIX}{plain}"
    write(made, texts)
    return [made, *(made / path for path in texts)]


def files(name: str, kind: Kind) -> dict[str, str]:
    """Path in the package -> text, of a plugin called ``name``.

    Raises:
        UserError: the name cannot be that of a package.
    """
    plain = name.removeprefix(PREFIX)
    if not NAME.fullmatch(plain):
        raise UserError(
            f"'{name}' is not a valid plugin name: use lower-case letters a to z, digits and single hyphens, and begin "
            "with a letter, as in 'my-model'"
        )
    module = f"{PREFIX}{plain}".replace("-", "_")
    words = {
        "name": plain,
        "package": f"{PREFIX}{plain}",
        "module": module,
        "kind": kind,
        "title": "".join(part.capitalize() for part in (*plain.split("-"), kind)),
        "api": str(API_VERSION),
    }
    return {
        "pyproject.toml": _filled("pyproject.toml", words),
        "README.md": _filled("README.md", words).replace("USE\n", _filled(f"{kind}/README.md", words)),
        f"{module}.py": _filled(f"{kind}/plugin.py", words),
        f"tests/test_{plain.replace('-', '_')}.py": _filled(f"{kind}/test.py", words),
    }


def write(folder: Path, texts: Mapping[str, str]) -> None:
    """Write the files of a new package into a folder that does not exist yet.

    Raises:
        UserError: the folder exists, or cannot be made.
    """
    try:
        folder.mkdir(parents=True)
        for path, text in texts.items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    except FileExistsError:
        raise UserError(f"{folder} already exists; nothing was overwritten; choose another name") from None
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}") from None


def _filled(template: str, words: Mapping[str, str]) -> str:
    # The suffix keeps linters and test runners from taking a template for code.
    return Template((TEMPLATES / f"{template}.txt").read_text(encoding="utf-8")).substitute(words)
