"""The plugin manager: built-ins, installed packages (entry-point group ``dsum_bench``) and named files."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from hashlib import sha256
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from time import perf_counter
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, overload

import pluggy

from dsum_bench import API_VERSION, __version__, hookspecs
from dsum_bench.errors import UserError, plugin_code, suggestion
from dsum_bench.spec import LOAD_VARIABLE, PluginSettings

if TYPE_CHECKING:
    from dsum_bench.adapters.base import Adapter
    from dsum_bench.checks.base import Check
    from dsum_bench.datasets.base import DatasetReader
    from dsum_bench.decoding.base import Decoding
    from dsum_bench.engines.base import Engine
    from dsum_bench.executors.base import Executor
    from dsum_bench.metrics.base import Metric, MetricTokenizer
    from dsum_bench.postprocess.base import Postprocessor
    from dsum_bench.spec import ModelSpec
    from dsum_bench.training.base import Trainer

GROUP = "dsum_bench"
TRACE_VARIABLE = "DSUM_BENCH_TRACE_PLUGINS"
TITLES = {"decoding": "decoding strategy", "dataset": "dataset format"}
"""How messages call a kind, where its name alone would mean a registry entry."""
BUILTIN = (
    "dsum_bench.adapters",
    "dsum_bench.engines",
    "dsum_bench.decoding",
    "dsum_bench.metrics",
    "dsum_bench.checks",
    "dsum_bench.datasets",
    "dsum_bench.postprocess",
    "dsum_bench.executors",
    "dsum_bench.training",
)


OWN = "this bench"
BASES = {
    "adapters": "dsum_bench.adapters.base.Adapter",
    "engines": "dsum_bench.engines.base.Engine",
    "decodings": "dsum_bench.decoding.base.Decoding",
    "metrics": "dsum_bench.metrics.base.Metric",
    "tokenizers": "dsum_bench.metrics.base.MetricTokenizer",
    "datasets": "dsum_bench.datasets.base.DatasetReader",
    "postprocessors": "dsum_bench.postprocess.base.Postprocessor",
    "trainers": "dsum_bench.training.base.Trainer",
    "checks": "dsum_bench.checks.base.Check",
    "executors": "dsum_bench.executors.base.Executor",
}
"""Kind -> base class of its parts, by name: importing them all would load what is not needed."""


@dataclass(slots=True)
class PluginInfo:
    """One plugin as ``dsum-bench plugins`` lists it. seconds: time its import took."""

    name: str
    version: str
    builtin: bool
    seconds: float
    registers: dict[str, list[str]] = field(default_factory=dict)
    problem: str = ""


class Plugins:
    """All registered things, by kind and name.

    local: classes for this process alone, which workers are not told of; those of settings reach workers too.

    A plugin that fails to import, is made for another API version or registers a bad or taken name is named in
    ``problems`` and skipped, so one broken package does not stop a sweep. A fault in a built-in raises, and so does
    any where the settings are strict.
    """

    def __init__(self, settings: PluginSettings | None = None, local: Sequence[type] = ()) -> None:
        self.settings = settings or PluginSettings.from_environment()
        self._own = _by_kind((*self.settings.objects, *local))
        self.info: dict[str, PluginInfo] = {}
        self.manager = pluggy.PluginManager("dsum_bench")
        self.manager.add_hookspecs(hookspecs)
        if os.environ.get(TRACE_VARIABLE):
            _trace(self.manager)
        for name in BUILTIN:
            self._add(name, __version__, True, partial(import_module, name))
        self._load_packages()
        for file in self.settings.files:
            if not Path(file).is_file():
                raise UserError(f"plugin file {file} does not exist")
            self._add(file, "", False, partial(_import_file, Path(file)))
        if self.settings.strict:
            self.collect_all()
            if self.problems:
                raise UserError("; ".join(self.problems))

    # -- what is registered ---------------------------------------------------------------------------------

    @cached_property
    def adapters(self) -> Mapping[str, type[Adapter]]:
        return self._collect("adapters")

    @cached_property
    def engines(self) -> Mapping[str, type[Engine]]:
        return self._collect("engines")

    @cached_property
    def decodings(self) -> Mapping[str, type[Decoding]]:
        return self._collect("decodings")

    @cached_property
    def metrics(self) -> Mapping[str, type[Metric]]:
        return self._collect("metrics")

    @cached_property
    def tokenizers(self) -> Mapping[str, type[MetricTokenizer]]:
        return self._collect("tokenizers")

    @cached_property
    def datasets(self) -> Mapping[str, type[DatasetReader]]:
        return self._collect("datasets")

    @cached_property
    def postprocessors(self) -> Mapping[str, type[Postprocessor]]:
        return self._collect("postprocessors")

    @cached_property
    def checks(self) -> Mapping[str, type[Check]]:
        return self._collect("checks")

    @cached_property
    def trainers(self) -> Mapping[str, type[Trainer]]:
        return self._collect("trainers")

    @cached_property
    def executors(self) -> Mapping[str, type[Executor]]:
        return self._collect("executors")

    @cached_property
    def models(self) -> Mapping[str, ModelSpec]:
        return self._collect("models")

    @property
    def problems(self) -> list[str]:
        """One line for each plugin that could not be used in full, as far as is known by now."""
        return [f"plugin {i.name}: {i.problem}" for i in self.info.values() if i.problem]

    def collect_all(self) -> None:
        """Ask every plugin for everything, so that ``info`` and ``problems`` are complete."""
        for hook in hookspecs.registration_hooks():
            getattr(self, hook.removeprefix("dsum_register_"))

    def tell(self, event: str, **arguments: object) -> list[str]:
        """Tell every plugin of an event; one line for each that raised. The others are told all the same.

        Raises:
            UserError: one raised, and the settings are strict.
        """
        failed = []
        everyone = dict(self.manager.list_name_plugin())
        for owner in everyone:
            others = [p for name, p in everyone.items() if name != owner]
            try:
                with plugin_code():
                    self.manager.subset_hook_caller(event, others)(**arguments)
            except Exception as error:  # a plugin is somebody else's code
                failed.append(f"plugin {owner} failed in {event}: {type(error).__name__}: {error}")
        if failed and self.settings.strict:
            raise UserError("; ".join(failed))
        return failed

    @overload
    def get(self, kind: Literal["adapter"], name: str, where: str = "") -> type[Adapter]: ...
    @overload
    def get(self, kind: Literal["engine"], name: str, where: str = "") -> type[Engine]: ...
    @overload
    def get(self, kind: Literal["decoding"], name: str, where: str = "") -> type[Decoding]: ...
    @overload
    def get(self, kind: Literal["metric"], name: str, where: str = "") -> type[Metric]: ...
    @overload
    def get(self, kind: Literal["tokenizer"], name: str, where: str = "") -> type[MetricTokenizer]: ...
    @overload
    def get(self, kind: Literal["dataset"], name: str, where: str = "") -> type[DatasetReader]: ...
    @overload
    def get(self, kind: Literal["postprocessor"], name: str, where: str = "") -> type[Postprocessor]: ...
    @overload
    def get(self, kind: Literal["check"], name: str, where: str = "") -> type[Check]: ...
    @overload
    def get(self, kind: Literal["trainer"], name: str, where: str = "") -> type[Trainer]: ...
    @overload
    def get(self, kind: Literal["executor"], name: str, where: str = "") -> type[Executor]: ...
    def get(self, kind: str, name: str, where: str = "") -> Any:
        """What is registered under a name.

        where: the place that names it, which begins the message when there is none of this name.

        Raises:
            UserError: nothing of this kind has that name; the sentence suggests the nearest ones.
        """
        known: Mapping[str, Any] = getattr(self, f"{kind}s")
        if name in known:
            return known[name]
        at = f"{where}: " if where else ""
        raise UserError(f"{at}unknown {TITLES.get(kind, kind)} '{name}'{suggestion(name, known)}")

    # -- loading --------------------------------------------------------------------------------------------

    def _load_packages(self) -> None:
        wanted = self.settings.packages
        if wanted == ():
            return
        found = set()
        for point in entry_points(group=GROUP):
            dist = point.dist.name if point.dist else point.name
            if wanted is not None and not {point.name, dist} & set(wanted):
                continue
            found |= {point.name, dist}
            self._add(dist, point.dist.version if point.dist else "", False, point.load)
        missing = [n for n in wanted or () if n not in found]
        if missing:
            raise UserError(f"{LOAD_VARIABLE} names plugin '{missing[0]}', which is not installed")

    def _add(self, name: str, version: str, builtin: bool, load: Callable[[], Any]) -> None:
        start = perf_counter()
        key = name if name not in self.info else f"{name} ({len(self.info)})"
        info = self.info[key] = PluginInfo(key, version, builtin, 0.0)
        try:
            with plugin_code():
                plugin = load()
            _check_version(plugin)
            self.manager.register(plugin, key)
            _note(info, *_misspelt(plugin))
        except Exception as error:  # a plugin is somebody else's code: anything may happen
            if builtin:
                raise
            # Pluggy keeps what it refuses half-registered.
            if self.manager.has_plugin(key):
                self.manager.unregister(name=key)
            said = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            _note(info, f"not loaded: {said}")
        info.seconds = perf_counter() - start

    def _collect(self, kind: str) -> dict[str, Any]:
        things: dict[str, Any] = {}
        owners: dict[str, str] = {}
        hook = f"dsum_register_{kind}"
        everyone = dict(self.manager.list_name_plugin())
        for owner, info in self.info.items():
            if owner not in everyone:
                continue
            others = [p for n, p in everyone.items() if n != owner]
            caller = self.manager.subset_hook_caller(hook, others)
            try:
                with plugin_code():
                    caller(register=lambda thing, owner=owner: _register(thing, kind, owner, things, owners))
            except Exception as error:
                if info.builtin:
                    raise
                _note(info, str(error) if isinstance(error, UserError) else f"{hook} failed: {error!r}")
            info.registers[kind] = [n for n, o in owners.items() if o == owner]
        for thing in self._own.get(kind, ()):
            _register(thing, kind, OWN, things, owners)
        return things


def _by_kind(classes: Sequence[type]) -> dict[str, list[type]]:
    """Classes by what they are; raises UserError for one that is no part of any kind."""
    found: dict[str, list[type]] = {}
    for thing in classes:
        bases = {f"{c.__module__}.{c.__qualname__}" for c in thing.__mro__}
        kind = next((kind for kind, base in BASES.items() if base in bases), None)
        if kind is None:
            names = ", ".join(base.rpartition(".")[2] for base in BASES.values())
            raise UserError(f"{thing.__qualname__} cannot be registered: it must be a subclass of one of {names}")
        found.setdefault(kind, []).append(thing)
    return found


def _register(thing: Any, kind: str, owner: str, things: dict[str, Any], owners: dict[str, str]) -> None:
    name = getattr(thing, "name", None)
    what = getattr(thing, "__qualname__", type(thing).__qualname__)
    if not isinstance(name, str) or not name:
        raise UserError(f"{owner} registers {what} among {kind} without a name")
    if name in things:
        raise UserError(f"{owner} registers '{name}' among {kind}, which {owners[name]} already registered")
    things[name], owners[name] = thing, owner


def _note(info: PluginInfo, *problems: str) -> None:
    """Add problems to what is known of a plugin, as one line."""
    told = [info.problem] if info.problem else []
    info.problem = "; ".join([*told, *(" ".join(p.split()) for p in problems)])


def _check_version(plugin: object) -> None:
    made_for = getattr(plugin, "dsum_bench_api", API_VERSION)
    if made_for != API_VERSION:
        raise UserError(
            f"made for version {made_for} of the plugin API, and this dsum-bench has version {API_VERSION}; "
            "install a release of the plugin or of dsum-bench that fits the other"
        )


def _misspelt(plugin: object) -> list[str]:
    """Implementations of hooks that do not exist: nothing would ever call them."""
    hooks = [n for n in vars(hookspecs) if n.startswith("dsum_")]
    implemented = [n for n, thing in vars(plugin).items() if hasattr(thing, "dsum_bench_impl")]
    return [f"implements unknown hook '{n}'{suggestion(n, hooks)}" for n in implemented if n not in hooks]


def _import_file(path: Path) -> ModuleType:
    name = f"dsum_plugin_{sha256(str(path.resolve()).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"plugin file {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


# -- tracing --------------------------------------------------------------------------------------------------


def _trace(manager: pluggy.PluginManager) -> None:
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
