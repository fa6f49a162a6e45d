"""What a bench works with: registry, plugins and results, and a caller's words or objects turned into specs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsum_bench.errors import UserError, suggestion
from dsum_bench.spec import DatasetSpec, DecodingSpec, ModelSpec, PluginSettings, PromptSpec
from dsum_bench.store import DATABASE

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from dsum_bench.executors.base import Executor
    from dsum_bench.machine import Machine
    from dsum_bench.plugins import Plugins
    from dsum_bench.progress.display import Display, Target
    from dsum_bench.registry.load import Registry
    from dsum_bench.screening.request import Dialogues
    from dsum_bench.spec import Sample

Names = str | ModelSpec | Sequence[str | ModelSpec]
"""Models by name or as entries, or ``all``."""
Settings = Mapping[str, object] | Sequence[str]
"""Changed parameters: a mapping, or ``key=value`` strings."""

FRAME = "dataframe"
"""Name of a dataset or run given as a DataFrame without a name."""
CUSTOM = "custom"
"""Name of a prompt given as text."""


class Workspace:
    """Registry, plugins and results of one bench; nothing is read before it is needed."""

    def __init__(
        self,
        registry: str | Path | Sequence[str | Path] | None = None,
        results: str | Path = "results",
        plugins: Iterable[str | Path | type] = (),
        progress: Target = "auto",
        console: Console | None = None,
    ) -> None:
        listed = [registry] if isinstance(registry, str | Path) else list(registry or ())
        self._registry_files = tuple(Path(f) for f in listed)
        self.results = Path(results)
        given = list(plugins)
        self._plugin_files = tuple(str(p) for p in given if not isinstance(p, type))
        self._classes = tuple(p for p in given if isinstance(p, type))
        self._progress, self._console = progress, console
        self._frames: dict[str, Mapping[str, pd.DataFrame]] = {}
        self._warned: set[str] = set()

    @property
    def database(self) -> Path:
        """Path of the results database, which may not exist yet."""
        return self.results / DATABASE

    @cached_property
    def display(self) -> Display:
        """Display for progress and warnings."""
        from dsum_bench.progress.display import Display

        return Display(self._progress, self._console)

    @cached_property
    def loaded_plugins(self) -> Plugins:
        """The plugin manager: built-ins, installed packages, plugin files and your own classes."""
        from dsum_bench.datasets.frames import frame_reader
        from dsum_bench.plugins import Plugins
        from dsum_bench.registry.load import plugin_files

        files = (*self._plugin_files, *plugin_files(self._registry_files, Path.cwd()))
        settings = PluginSettings.from_environment((str(Path(f).resolve()) for f in files), self._classes)
        return Plugins(settings, local=(frame_reader(self._frames),))

    @cached_property
    def _entries(self) -> Registry:
        """The registry files' entries, with what callers have added since."""
        from dsum_bench.registry.load import load

        return load(self._registry_files, self.loaded_plugins, Path.cwd())

    @property
    def registry(self) -> Registry:
        """All registry entries by name, including models trained into the results folder."""
        from dsum_bench.registry.members import with_parts
        from dsum_bench.registry.trained import with_trained

        return with_parts(with_trained(self._entries, self.results))

    def add_dataset(
        self,
        name: str,
        frames: pd.DataFrame | Mapping[str, pd.DataFrame],
        columns: Mapping[str, str | Sequence[str]] | None = None,
        language: str = "ko",
    ) -> DatasetSpec:
        """Register DataFrames as a dataset of this bench: one frame (split ``dev``), or split -> frame.

        columns: our name (id, dialogue, summary, topic) -> the frame's column, or columns for several references. The
        id is column ``id`` or ``fname``, else the index.
        """
        from dsum_bench.datasets.frames import frame_spec

        splits = dict(frames) if isinstance(frames, Mapping) else {"dev": frames}
        spec = frame_spec(name, splits, columns, language)
        self._frames[name] = splits
        self._entries = replace(self._entries, datasets={**self._entries.datasets, name: spec})
        return spec

    # -- from a caller's words to specs ---------------------------------------------------------------------

    def _dataset(self, dataset: Any) -> DatasetSpec:
        if isinstance(dataset, str):
            return self.registry.dataset(dataset)
        if isinstance(dataset, DatasetSpec):
            self._entries = replace(self._entries, datasets={**self._entries.datasets, dataset.name: dataset})
            return dataset
        return self.add_dataset(str(getattr(dataset, "attrs", {}).get("name", FRAME)), dataset)

    def _dialogues(
        self,
        dataset: Any,
        split: str | None,
        limit: int | None = None,
        sample: int | None = None,
        seed: int = 42,
        references: bool = True,
    ) -> Dialogues:
        from dsum_bench.datasets.load import load, select
        from dsum_bench.screening.request import Dialogues

        spec = self._dataset(dataset)
        split = split or spec.default_split
        samples = load(spec, self.loaded_plugins, split, references)
        return Dialogues(spec, split, select(samples, limit, sample, seed))

    def _sample(self, dataset: Any, split: str | None, sample_id: str | None) -> Sample:
        dialogues = self._dialogues(dataset, split, references=False)
        samples = dialogues.selection.samples
        if sample_id is None:
            return samples[0]
        for sample in samples:
            if sample.id == sample_id:
                return sample
        where = f"{dialogues.spec.name} {dialogues.split}"
        raise UserError(f"{where} has no sample '{sample_id}'{suggestion(sample_id, [s.id for s in samples])}")

    def _models(self, models: Names, family: str | None = None, max_params: int | str | None = None) -> list[ModelSpec]:
        if isinstance(models, str) and models == "all":
            return self.zoo(family, max_params)
        if family is not None or max_params is not None:
            raise UserError("--family and --max-params need --all and cannot be combined with model names")
        listed = [models] if isinstance(models, str | ModelSpec) else list(models)
        if not listed:
            raise UserError("give the models to screen, or use --all (see 'dsum-bench models')")
        own = {m.name: m for m in listed if isinstance(m, ModelSpec)}
        if own:
            self._entries = replace(self._entries, models={**self._entries.models, **own})
        registry = self.registry
        names = dict.fromkeys(m if isinstance(m, str) else m.name for m in listed)
        return [registry.model(name) for name in names]

    def zoo(self, family: str | None = None, max_params: int | str | None = None) -> list[ModelSpec]:
        """The entries of the model zoo, by family and size as ``models`` chooses; those left out because their size is
        unknown are named in a warning."""
        from dsum_bench.registry.choosing import choose

        chosen = choose(self.registry.models.values(), family, max_params)
        if chosen.omission:
            self.display.warn(chosen.omission)
        return list(chosen.models)

    def _prompt(self, prompt: str | PromptSpec | None, language: str) -> PromptSpec | None:
        """A prompt by name, as a spec, or by its text, which has the place {dialogue}."""
        from dsum_bench.adapters.prompts import PLACE

        if prompt is None:
            return None
        if isinstance(prompt, str):
            if PLACE not in prompt:
                return self.registry.prompt(prompt)
            prompt = PromptSpec(CUSTOM, prompt, language=language, origin="Bench")
        self._entries = replace(self._entries, prompts={**self._entries.prompts, prompt.name: prompt})
        return prompt

    def _decoding(self, decoding: str | DecodingSpec | None) -> DecodingSpec | None:
        return self.registry.decoding(decoding) if isinstance(decoding, str) else decoding

    def _executor(self, name: str, hang_timeout: float, address: str = "") -> Executor:
        """An executor by its name. Raises UserError for an address that it has no use for."""
        kind = self.loaded_plugins.get("executor", name)
        if not address:
            return kind(hang_timeout)
        if not kind.takes_address:
            raise UserError(f"executor '{name}' takes no address (--address)")
        return kind(hang_timeout, address)

    def _machine(self, device: str, machine: Machine | None = None) -> Machine:
        from dsum_bench.machine import detect

        machine = machine or detect()
        return replace(machine, gpus=()) if device == "cpu" else machine

    def report_problems(self) -> None:
        """Say once which plugins could not be used."""
        for problem in self.loaded_plugins.problems:
            if problem not in self._warned:
                self._warned.add(problem)
                self.display.warn(problem)


def pairs(settings: Settings) -> tuple[str, ...]:
    """Settings as ``key=value``; values of a mapping are written as TOML."""
    if isinstance(settings, Mapping):
        return tuple(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in settings.items())
    return tuple(settings)
