"""What most commands begin with: plugins and registry, loaded once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dsum_bench.plugins import Plugins
from dsum_bench.registry.load import Registry, load, plugin_files
from dsum_bench.registry.trained import with_trained
from dsum_bench.spec import PluginSettings

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(slots=True)
class Session:
    """Plugins and the merged registry of one call."""

    plugins: Plugins
    registry: Registry
    reported: set[str] = field(default_factory=set)

    @classmethod
    def open(cls, registries: Sequence[Path] = (), files: Sequence[str] = (), results: Path | None = None) -> Session:
        """Load plugins (installed, named by --plugin or by a registry of the user), then the registry files, then
        the models that were trained into a results folder."""
        here = Path.cwd()
        allowed = (*files, *plugin_files(registries, here))
        plugins = Plugins(PluginSettings.from_environment(str(Path(f).resolve()) for f in allowed))
        registry = load(registries, plugins, here)
        return cls(plugins, registry if results is None else with_trained(registry, results))

    def report_problems(self) -> None:
        """Say once, on standard error, which plugins could not be used."""
        for problem in self.plugins.problems:
            if problem not in self.reported:
                self.reported.add(problem)
                click.echo(f"warning: {problem}", err=True)

    def console(self, stderr: bool = False) -> Console:
        from rich.console import Console

        return Console(stderr=stderr, highlight=False)
