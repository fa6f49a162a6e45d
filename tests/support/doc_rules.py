"""What the documentation must say: pure functions from the text of a page to what is wrong with it."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

PLUGINS = Path(__file__).parents[2] / "plugins"
FENCE = re.compile(r"^(?P<fence>```+)(?P<language>[^\n]*)\n(?P<code>.*?)^(?P=fence)$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"^ {4,}(?:\w+=\S* )*dsum-bench (.+(?:\\\n.+)*)$", re.MULTILINE)
SPECS = {"models", "datasets", "prompts", "decodings", "recipes", "plugins", "postprocess"}
OUTPUT = {"", "text", "console", "{toctree}"}
"""Languages of what is printed, typed in by a test, or not code."""


def prose(text: str) -> str:
    """A page without its code blocks, in which ``#`` begins no heading and brackets are no links."""
    return FENCE.sub("", text)


def headings(text: str) -> list[tuple[int, str]]:
    """Level and text of every heading."""
    return [(len(m[1]), m[2].strip()) for m in re.finditer(r"^(#+) (.+)$", prose(text), re.MULTILINE)]


def sections(text: str) -> Iterator[tuple[str, str]]:
    """Heading and text of every section; a subsection is a section of its own."""
    parts = re.split(r"^#+ (.+)$", prose(text), flags=re.MULTILINE)
    yield from zip(parts[1::2], parts[2::2], strict=True)


def spans(text: str) -> set[str]:
    """What stands between backticks."""
    return set(re.findall(r"`([^`\n]+)`", text))


def blocks(text: str, language: str) -> list[str]:
    """The code blocks of a language."""
    return [m["code"] for m in FENCE.finditer(text) if m["language"] == language]


# -- reference --------------------------------------------------------------------------------------------------


def wrong_hooks(page: str, hooks: Mapping[str, Iterable[str]]) -> list[str]:
    """Headings that are missing for a hook with just these arguments, and headings of hooks that are not there."""
    wanted = {f"`{name}({', '.join(arguments)})`" for name, arguments in hooks.items()}
    return sorted(wanted ^ {text for level, text in headings(page) if level == 3 and text.startswith("`dsum_")})


def keys_in(page: str, titles: Collection[str]) -> dict[str, str]:
    """Key -> default, of the tables in the sections with these headings."""
    found: dict[str, str] = {}
    for title, text in sections(page):
        if title in titles:
            rows = (line.split("|") for line in text.splitlines() if line.startswith("| `"))
            found |= {row[1].strip().strip("`"): row[3].strip() for row in rows}
    return found


def wrong_keys(page: str, titles: Collection[str], real: Mapping[str, str]) -> list[str]:
    """Keys that only the page or only the program has, or whose default is another."""
    shown = keys_in(page, titles)
    return sorted(key for key in shown.keys() | real.keys() if shown.get(key) != real.get(key))


def wrong_builtins(page: str, kind: str, real: Iterable[str]) -> list[str]:
    """Names that only the page or only the program has as built in."""
    listed = "".join(text for title, text in sections(page) if title == f"`dsum_register_{kind}(register)`")
    return sorted(set(real) ^ spans(listed.partition("Built in:")[2]))


def wrong_checks(pages: Mapping[str, str], index: str, real: Mapping[str, tuple[str, str]]) -> list[str]:
    """Checks without a page that has all its parts, or without a row of the index; pages of no check.

    real: name -> mark and level.
    """
    parts = ("What it means", "How it is found", "Why it matters", "What to do")
    wrong = sorted(pages.keys() ^ real.keys())
    for name in pages.keys() & real.keys():
        mark, level = real[name]
        title = rf"# {name}\n\nMark `{mark}`\. Level: .*\b{level}\b"
        whole = re.match(title, pages[name]) and all(f"**{part}.** " in pages[name] for part in parts)
        if not whole or f"| `{mark}` | [{name}]({name}.md) |" not in index:
            wrong.append(name)
    return sorted(wrong)


def wrong_metrics(pages: Mapping[str, str], real: Mapping[str, Iterable[str]]) -> list[str]:
    """Metrics without a page that has all its parts, and ``metric.measure`` of measures that one of both lacks."""
    wrong = sorted(pages.keys() ^ real.keys())
    for name in pages.keys() & real.keys():
        shown = set(re.findall(r"^\| `(\w+)` \|", pages[name], re.MULTILINE))
        wrong += [f"{name}.{measure}" for measure in shown ^ set(real[name])]
        wrong += [name] * any(f"**{part}.** " not in pages[name] for part in ("Formula", "Source", "What to do"))
    return sorted(wrong)


# -- links ------------------------------------------------------------------------------------------------------


def anchor(heading: str) -> str:
    """The fragment that a repository browser gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def dead_links(text: str, page: Path, root: Path) -> list[str]:
    """Relative links of a page that lead to no file of the project, or to no heading of it."""
    dead = []
    for link in LINK.findall(prose(text)):
        if link.startswith(("https://", "http://")):
            continue
        path, _, fragment = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        there = target.is_relative_to(root) and target.exists()
        if not there:
            dead.append(link)
        elif fragment:
            aim = text if target == page else target.read_text(encoding="utf-8")
            if fragment not in [anchor(h) for _, h in headings(aim)]:
                dead.append(link)
    return dead


# -- code -------------------------------------------------------------------------------------------------------


def wrong_blocks(text: str, folder: Path, registry: Callable[[str], str]) -> list[str]:
    """What is wrong with code blocks: a language nobody checks, TOML that is no registry, Python that does not run,
    JSON lines that are no samples, commands that the command line does not take.

    Args:
        folder: an empty one, where Python runs and files that commands name are made.
        registry: gives what is wrong with a registry, '' when nothing is.
    """
    wrong = [f"language '{m['language']}'" for m in FENCE.finditer(text)
             if m["language"] not in OUTPUT | {"toml", "python", "jsonl"}]  # fmt: skip
    wrong += [problem for code in blocks(text, "toml") if (problem := _wrong_toml(code, registry))]
    wrong += [problem for code in blocks(text, "python") if (problem := _wrong_python(code, folder))]
    for code in blocks(text, "jsonl"):
        wrong += [line for line in code.splitlines() if not {"id", "dialogue"} <= json.loads(line).keys()]
    typed = [found.replace("\\\n", " ") for found in COMMAND.findall(prose(text))]
    named = [s.removeprefix("dsum-bench ") for s in spans(prose(text)) if s.startswith("dsum-bench ")]
    found = [wrong_command(line, folder) for line in typed]
    found += [wrong_command(line, folder, shortened=True) for line in named]
    return wrong + [problem for problem in found if problem]


def _wrong_toml(code: str, registry: Callable[[str], str]) -> str:
    try:
        tables = tomllib.loads(code)
    except tomllib.TOMLDecodeError as error:
        return f"TOML: {error}"
    return registry(code) if tables.keys() & SPECS else "" if "project" in tables else f"TOML of nothing: {code}"


def _wrong_python(code: str, folder: Path) -> str:
    before = Path.cwd()
    os.chdir(folder)
    try:
        exec(compile(code, "block", "exec"), {"__name__": "block"})
    except Exception as error:
        return f"Python: {type(error).__name__}: {error}"
    finally:
        os.chdir(before)
    return ""


def wrong_command(line: str, folder: Path, shortened: bool = False) -> str:
    """Why ``dsum-bench LINE`` is not taken, '' when it is. Nothing is done; files that it names are made first.

    shortened: only commands and options count, since the line stands in a sentence.
    """
    import click

    from dsum_bench.cli import main

    words = shlex.split(line, comments=True)
    words = words[: next((i for i, word in enumerate(words) if word in ("|", ">", "...")), len(words))]
    before = Path.cwd()
    os.chdir(folder)
    try:
        for word in words:
            if re.fullmatch(r"[\w./@-]+\.(csv|jsonl|py|toml)", word):
                file = Path(word)
                file.parent.mkdir(parents=True, exist_ok=True)
                # What a training leaves beside its result names its model.
                file.write_text('model = "mine"\n' if file.name == "finetune.toml" else "", encoding="utf-8")
        _parse(main, words)
    except click.UsageError as error:
        if shortened and isinstance(error, click.BadParameter | click.BadOptionUsage):
            return ""
        return f"dsum-bench {line}: {error.format_message()}"
    except click.exceptions.Exit:
        return ""
    finally:
        os.chdir(before)
    return ""


@cache
def _plugin_commands() -> Mapping[str, Any]:
    """The commands that the plugin packages of this repository add."""
    import click

    group = click.Group()
    for module in sorted(PLUGINS.glob("*/dsum_bench_*/__init__.py")):
        if "def dsum_register_commands" in module.read_text(encoding="utf-8"):
            sys.path.append(str(module.parents[1]))
            import_module(module.parent.name).dsum_register_commands(group)
    return group.commands


def _parse(group: object, words: Sequence[str]) -> None:
    """Let click read the words, through groups down to the command, and invoke nothing."""
    import click

    command, rest = group, list(words)
    context: click.Context | None = None
    while isinstance(command, click.Group):
        # With its settings and its parent: click keeps the help option that it makes at first.
        context = click.Context(command, parent=context, **command.context_settings)
        _, rest, _ = command.make_parser(context).parse_args(rest)
        name = rest.pop(0) if rest else ""
        found = command.get_command(context, name) or _plugin_commands().get(name)
        if not name or name.isupper():
            raise click.BadParameter("which command?")
        if found is None:
            raise click.UsageError(f"no such command '{name}'")
        command = found
    assert isinstance(command, click.Command)
    command.make_context(words[0], rest, parent=context)
