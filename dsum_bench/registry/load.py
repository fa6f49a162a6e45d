"""The registry: models, datasets, prompts and decodings from plugins, the shipped file and the user's files."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dsum_bench.errors import UserError, did_you_mean, nearest, suggestion
from dsum_bench.registry import check as registry_check
from dsum_bench.registry.choosing import count_of_weights
from dsum_bench.registry.tables import Where, read_table, shown
from dsum_bench.spec import DatasetSpec, DecodingSpec, ModelSpec, PostprocessSpec, PromptSpec, RecipeSpec

if TYPE_CHECKING:
    from dsum_bench.plugins import Plugins

T = TypeVar("T")
Spec = ModelSpec | DatasetSpec | PromptSpec | DecodingSpec | RecipeSpec | PostprocessSpec

FILE = "registry.toml"
SHIPPED = "dsum-bench"
"""The origin of entries that come with this package."""
PLUGINS = "plugins"
KINDS = {
    "models": "model", "datasets": "dataset", "prompts": "prompt", "decodings": "decoding", "recipes": "recipe",
    "postprocess": "postprocessing",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Registry:
    """Everything a run can be made of, by name."""

    models: Mapping[str, ModelSpec] = field(default_factory=dict)
    datasets: Mapping[str, DatasetSpec] = field(default_factory=dict)
    prompts: Mapping[str, PromptSpec] = field(default_factory=dict)
    decodings: Mapping[str, DecodingSpec] = field(default_factory=dict)
    recipes: Mapping[str, RecipeSpec] = field(default_factory=dict)
    postprocess: Mapping[str, PostprocessSpec] = field(default_factory=dict)

    def model(self, name: str) -> ModelSpec:
        """Raises UserError with the nearest names when there is none of this name; the others do too."""
        return _get("model", self.models, name)

    def dataset(self, name: str) -> DatasetSpec:
        return _get("dataset", self.datasets, name)

    def prompt(self, name: str) -> PromptSpec:
        return _get("prompt", self.prompts, name)

    def decoding(self, name: str) -> DecodingSpec:
        return _get("decoding", self.decodings, name)

    def recipe(self, name: str) -> RecipeSpec:
        return _get("recipe", self.recipes, name)

    def postprocessing(self, name: str) -> PostprocessSpec:
        return _get("postprocessing", self.postprocess, name)


def _get(kind: str, known: Mapping[str, T], name: str) -> T:
    if name not in known:
        raise UserError(f"unknown {kind} '{name}'{suggestion(name, known)}")
    return known[name]


def load(files: Sequence[Path] = (), plugins: Plugins | None = None, working_directory: Path | None = None) -> Registry:
    """The registry, the last source of an entry winning: plugins, the shipped file, ``registry.toml`` in the
    working directory (by default the current one), then each of files.

    With plugins, every name and option that an entry uses is checked too.

    Raises:
        UserError: a fault in a file; names file, line, table and key.
    """
    entries: dict[str, dict[str, Spec]] = {kind: {} for kind in KINDS}
    places: dict[tuple[str, str], Where] = {}
    if plugins is not None:
        entries["models"].update(registry_check.from_plugins(plugins))
    for path in (shipped_registry(), *_user_files(files, working_directory)):
        for kind, spec, where in _read(path):
            entries[kind][spec.name] = spec
            places[kind, spec.name] = where
    if plugins is not None:
        registry_check.check(entries, places, plugins)
    return Registry(**entries)  # type: ignore[arg-type]  # each table holds one kind of spec


def shipped_registry() -> Path:
    """The registry that comes with this package: inside it in a wheel, at the repository root in a checkout."""
    package = Path(__file__).parents[1]
    for path in (package / FILE, package.parent / FILE):
        if path.is_file():
            return path
    raise UserError(f"the installation is broken: {package / FILE} is missing; reinstall dsum-bench")


def plugin_files(files: Sequence[Path] = (), working_directory: Path | None = None) -> tuple[str, ...]:
    """Absolute paths of the single-file plugins that the user's registry files allow to run.

    Raises:
        UserError: a file that is not valid TOML, or a list that is none.
    """
    found: dict[str, None] = {}
    for path in _user_files(files, working_directory):
        text, document = _parsed(path)
        listed = document.get(PLUGINS, [])
        if not isinstance(listed, list) or not all(isinstance(p, str) for p in listed):
            raise Where(str(path), text).error(f"key '{PLUGINS}' must be a list of files, not {shown(listed)}", PLUGINS)
        found.update(dict.fromkeys(_absolute(plugin, path) for plugin in listed))
    return tuple(found)


def _user_files(files: Sequence[Path], working_directory: Path | None) -> Iterator[Path]:
    """The user's registry files in the order they are read."""
    here = (working_directory or Path.cwd()) / FILE
    if here.is_file() and not here.samefile(shipped_registry()):
        yield here
    yield from files


# -- one file -----------------------------------------------------------------------------------------------


def _parsed(path: Path) -> tuple[str, dict[str, object]]:
    """Text and content of a TOML file."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"registry {path} cannot be read: {error.strerror or error}") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}, line {line}: not UTF-8, which TOML requires; save the file as UTF-8") from None
    text = text.replace("\r\n", "\n")
    try:
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(_syntax(path, text, str(error))) from None


def _syntax(path: Path, text: str, problem: str) -> str:
    """The parser's message with its place put first."""
    said, _, place = problem.partition(" (at ")
    found = re.match(r"line (\d+)", place)
    line = int(found[1]) if found else text.rstrip("\n").count("\n") + 1
    return f"{path}, line {line}: not valid TOML: {said[:1].lower()}{said[1:]}"


def _read(path: Path) -> Iterator[tuple[str, Spec, Where]]:
    text, document = _parsed(path)
    top = Where(str(path), text)
    shipped = path == shipped_registry()
    allowed = [*KINDS] if shipped else [*KINDS, PLUGINS]
    for key, content in document.items():
        if key not in allowed:
            raise top.error(f"unknown table '{key}'{suggestion(key, allowed)}", key)
        if key == PLUGINS:
            continue
        if not isinstance(content, dict):
            raise top.error(f"'{key}' must hold tables: write [{key}.NAME]", key)
        for name, table in content.items():
            where = top.inside(key, name)
            _check_name(name, table, where)
            yield key, _entry(key, name, table, where, SHIPPED if shipped else str(path)), where


def _check_name(name: str, table: object, where: Where) -> None:
    if not isinstance(table, dict):
        raise where.error(f"'{name}' must be a table with keys of its own, not {shown(table)}")
    if not registry_check.NAME.fullmatch(name):
        raise where.error(f"'{name}' is not a valid name: use lower-case letters, digits and . _ @ + - (not first)")
    if table and all(isinstance(v, dict) and k not in ("options", "params", "columns") for k, v in table.items()):
        whole = f"{name}.{next(iter(table))}"
        raise where.error(f"'{name}' has no keys; a name with a dot needs quotes: \"{whole}\"", next(iter(table)))


def _entry(kind: str, name: str, table: dict[str, object], where: Where, origin: str) -> Spec:
    given: dict[str, object] = {"name": name, "origin": origin}
    path = Path(where.file)
    if kind == "models":
        return _model(table, where, given, path)
    if kind == "datasets":
        dataset = read_table(DatasetSpec, table, where, given)
        registry_check.dataset(dataset, where)
        return replace(dataset, path=_data_path(dataset.path, path))
    if kind == "prompts":
        prompt = read_table(PromptSpec, table, where, given)
        if "{dialogue}" not in prompt.user:
            raise where.error("key 'user' has no placeholder {dialogue}", "user")
        return prompt
    if kind == "postprocess":
        steps = read_table(PostprocessSpec, table, where, given)
        registry_check.postprocess(steps, where)
        return steps
    if kind == "recipes":
        return _with_params(RecipeSpec, "trainer", table, where, given)
    return _with_params(DecodingSpec, "strategy", table, where, given)


def _with_params(cls: type[T], key: str, table: dict[str, object], where: Where, given: dict[str, object]) -> T:
    """An entry that names a plugin; its other keys are that plugin's parameters."""
    own = {k: v for k, v in table.items() if k in (key, "note")}
    params = {k: v for k, v in table.items() if k not in own}
    if key not in own and nearest(key, params):
        raise where.error(f"key '{key}' is missing{did_you_mean(key, params)}")
    return read_table(cls, own, where, {**given, "params": params})


def _model(table: dict[str, object], where: Where, given: dict[str, object], path: Path) -> ModelSpec:
    table = dict(table)
    if "params" in table:
        table["params"] = _weights(table["params"], where)
    if isinstance(table.get("source"), str):
        table["source"] = [table["source"]]
    if "members" in table:
        table.setdefault("engine", registry_check.ENSEMBLE)
    model = read_table(ModelSpec, table, where, {**given, "parts": ()})
    registry_check.model(model, where)
    peft = _absolute(model.peft, path) if model.peft else None
    return replace(model, source=tuple(_source(s, path) for s in model.source), peft=peft)


def _weights(value: object, where: Where) -> int:
    count = count_of_weights(value)
    if count is None:
        raise where.error(f'key \'params\' must be a count such as "3.21B" or "135M", not {shown(value)}', "params")
    return count


# -- paths --------------------------------------------------------------------------------------------------

_SCHEME = re.compile(r"[A-Za-z_][\w.+-]+:")
"""``package:inside`` and ``https:``; two characters at least, so that ``C:`` is a path."""


def _absolute(path: str, file: Path) -> str:
    """A path as the file that names it means it."""
    return os.path.normpath(file.absolute().parent / Path(path).expanduser())


def _source(source: str, file: Path) -> str:
    if source.startswith("pypi:"):
        return source
    folder = source in (".", "..") or source.startswith(("./", "../", "/", "~")) or Path(source).is_absolute()
    return _absolute(source, file) if folder or Path(_absolute(source, file)).is_dir() else source


def _data_path(path: str, file: Path) -> str:
    return path if _SCHEME.match(path) else _absolute(path, file)
