"""Training from Python: fine-tune by recipe, screen the result, export it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dsum_bench.api.screening import DATASET, ScreeningBench
from dsum_bench.api.workspace import CUSTOM, Settings, pairs
from dsum_bench.errors import UserError
from dsum_bench.spec import HANG_TIMEOUT, DatasetSpec, DecodingSpec, ModelSpec, PromptSpec

if TYPE_CHECKING:
    from dsum_bench.executors.base import Executor
    from dsum_bench.machine import Machine
    from dsum_bench.screening.sweep import RunResult
    from dsum_bench.spec import Dtype, Preferences, PromptFormat, Sample, Targets
    from dsum_bench.training.finetune import FinetuneResult
    from dsum_bench.training.gguf_file import GgufType
    from dsum_bench.training.prepare import PreparedTraining


class TrainingBench(ScreeningBench):
    """The part of a bench that trains models."""

    def finetune(
        self,
        model: str | ModelSpec,
        dataset: Any = DATASET,
        *,
        recipe: str | None = None,
        settings: Settings = (),
        sweep: str | None = None,
        search: int | None = None,
        space: str | None = None,
        folds: int | None = None,
        fold_by: str | None = None,
        split: str = "train",
        dev_split: str | None = None,
        limit: int | None = None,
        sample: int | None = None,
        dev_limit: int = 100,
        targets: str | None = None,
        min_score: Sequence[str | float] = (),
        preferences: Sequence[str] = (),
        rank_by: str | None = None,
        min_gap: float | None = None,
        max_steps: int | None = None,
        name: str | None = None,
        prompt: str | PromptSpec | None = None,
        prompt_format: PromptFormat = "template",
        seed: int = 42,
        device: Literal["auto", "cpu"] = "auto",
        dtype: Dtype | None = None,
        hang_timeout: float = HANG_TIMEOUT,
        executor: str = "local",
        address: str = "",
        fresh: bool = False,
        plan_only: bool = False,
        probe: bool = True,
        ignore_memory: bool = False,
        screen: bool = True,
        screen_limit: int | None = None,
        decoding: str | DecodingSpec | None = None,
        decoding_settings: Settings = (),
    ) -> FinetuneResult:
        """Fine-tune a model by recipe, then screen the result together with its base and the constant control.

        Args:
            model: a trained adapter is trained further, as a new run on the same base.
            dataset: to train on. Several are mixed by weight, ``"a:0.7,b:0.3"`` or ``{"a": 0.7, "b": 0.3}``, and
                no row is repeated; the first one is used for evaluation.
            recipe: of the registry; the model's own by default. settings: changed parameters of the recipe.
            sweep: one run for each point of a grid, such as ``"lr=1e-4,2e-4 r=16,32"``.
            search: number of Optuna trials in space, such as
                ``"lr=1e-5..1e-3:log r=8,16,32"``; the recipe's own by default. The best is kept and screened.
            folds: number of cross-validation folds: each model is trained without one fold and summarises it. Equal
                dialogues, and equal values of the column fold_by, are in the same fold.
            targets: a stored run whose summaries of the training dialogues replace the references. Summaries that a
                check flags or that miss a min_score are left out: a number for the data's usual metric,
                or ``"METRIC=30"``.
            preferences: two stored runs or more. The best and the worst of their summaries of a training dialogue are a
                pair, and the adapter learns which is better (recipes dpo, qdpo, orpo and qorpo). rank_by: the metric
                that says so, a judge's too; the data's usual one by default. min_gap: points between the two, 5 by
                default. Only a summary that no check finds fault with is the better one.
            dev_limit: rows for the evaluation of each epoch, 0 for none. max_steps: updates after which training ends.
            name: the result is called ``MODEL@name``; from its settings by default.
            executor: where workers run; points, folds and trials train at the same time where it has room. address:
                where its machines are found, for one that reaches further.
            plan_only: plan and stop. probe: time a batch first. ignore_memory: train even where the plan does not fit.
            screen: screen base and result afterwards, on screen_limit samples or all, with decoding and
                decoding_settings; each model's own by default.
        """
        from dsum_bench.progress.display import Display
        from dsum_bench.registry.grid import grid
        from dsum_bench.training.finetune import (
            FinetuneResult,
            TrainingOptions,
            TrainingResult,
            all_folds,
            check_name,
            check_search,
            make_job,
            search_points,
            train_all,
        )
        from dsum_bench.training.prepare import TrainingRequest, prepare
        from dsum_bench.training.sessions import main_process

        (spec,) = self._models(model)
        data, mixture = self._mixture(dataset)
        asked = self._prompt(prompt, data.language)
        points = grid(sweep) if sweep else [()]
        check_search(search, space, sweep, plan_only)
        check_name(name, search or len(points))
        learnt = self._targets(targets, min_score)
        ranked = self._preferences(preferences, rank_by, min_gap, learnt)
        requests = [
            TrainingRequest(
                spec.name, recipe, mixture, split, dev_split, limit, sample, dev_limit, asked.name if asked else None,
                prompt_format, (*pairs(settings), *point), max_steps, seed, dtype,
                asked.user if asked and asked.name == CUSTOM else None, targets=learnt,
                preferences=ranked,
            )
            for point in points
        ]  # fmt: skip
        requests = [replace(r, fold=f) for r in requests for f in all_folds(folds, fold_by, (search, sweep))]
        workers = self._executor(executor, hang_timeout, address)
        machine = self._machine(device, workers.machine())
        prepared = [prepare(r, self.registry, self.loaded_plugins, machine) for r in requests]
        screening: dict[str, Any] = {
            "split": dev_split, "limit": screen_limit, "seed": seed, "prompt": prompt, "prompt_format": prompt_format,
            "device": device, "decoding": decoding, "settings": decoding_settings,
        }  # fmt: skip
        if screen and not plan_only:
            # What is wrong with it is said before training.
            self.plan(spec, data.name, controls=False, executor=executor, address=address, **screening)
        self.report_problems()
        options = TrainingOptions(name, plan_only, probe, ignore_memory, fresh)
        shown = self.display if main_process() else Display(None)
        with shown.training() as observer:
            around = (self.database, self.loaded_plugins, observer, options, workers)
            if search:
                again = partial(prepare, registry=self.registry, plugins=self.loaded_plugins, machine=machine)
                found = search_points(requests[0], again, space or "", search, *around)
                assert found.best is not None
                result = FinetuneResult((TrainingResult(found.best.run, "done"),), search=found)
            else:
                jobs = [make_job(p, options, self.loaded_plugins, self.results) for p in prepared]
                result = FinetuneResult(train_all(jobs, *around))
        if not (screen and result.models and main_process()):
            return result
        if folds and len(result.models) == folds:
            parts = [(model, one) for model, one in zip(result.models, prepared, strict=True)]
            result = replace(result, unseen=self._unseen(parts, data, screening, machine, workers))
        return self._screen_trained(
            result, spec, data, hang_timeout=hang_timeout, executor=executor, address=address, **screening
        )

    @staticmethod
    def config(path: str | Path) -> dict[str, Any]:
        """Read options from a file, for ``finetune(**options)``; ``finetune.toml`` of a result repeats it."""
        from dsum_bench.training.config import read

        known = [name for name in inspect.signature(TrainingBench.finetune).parameters if name != "self"]
        return read(Path(path), known)

    def _mixture(self, dataset: Any) -> tuple[DatasetSpec, str]:
        """The first dataset of what ``finetune`` was given, and how it is written."""
        from dsum_bench.training.mixing import parts

        if isinstance(dataset, Mapping) and dataset and all(isinstance(w, int | float) for w in dataset.values()):
            dataset = ",".join(f"{name}:{weight}" for name, weight in dataset.items())
        if not isinstance(dataset, str):
            data = self._dataset(dataset)
            return data, data.name
        return self._dataset(parts(dataset)[0].name), dataset

    def export(
        self,
        model: str,
        output: str | Path,
        *,
        merge: bool = False,
        dataset: Any = DATASET,
        gguf: GgufType | None = None,
        push: str | None = None,
        public: bool = False,
    ) -> Path:
        """Export a trained model ``BASE@RUN`` with a model card to a new folder.

        merge: full weights instead of an adapter, tested on dialogues of dataset.
        gguf: full weights as one file for llama.cpp and compatible tools: ``f32``, ``f16``, ``bf16`` or ``q8_0``.
        push: upload the folder to the hub as ``OWNER/NAME``, with huggingface_hub's own login; private unless public.
        """
        from dsum_bench.training import release

        if push is not None:
            release.check_push(push)
        elif public:
            raise UserError("--public is only valid with --push OWNER/NAME")
        data = self._dataset(dataset).name if merge or gguf else ""
        around = (self.registry, self.loaded_plugins, self.database, data, self.display.tell)
        release.export(model, Path(output), *around, gguf)
        if push is not None:
            self.display.tell(f"pushed to {release.push(Path(output), push, public)}")
        return Path(output)

    def _targets(self, run: str | None, least: Sequence[str | float]) -> Targets | None:
        from dsum_bench.screening.targets import read

        if run is None:
            if least:
                raise UserError("--min-score filters the summaries of --targets; give --targets RUN")
            return None
        wanted = [str(least)] if isinstance(least, str | float | int) else [str(part) for part in least]
        found = read(self.database, self.run(run), wanted, self.loaded_plugins, self.display.warn)
        self.display.tell(f"targets: {found}")
        return found

    def _preferences(
        self, runs: Sequence[str], metric: str | None, gap: float | None, targets: Targets | None
    ) -> Preferences | None:
        from dsum_bench.screening.preferences import GAP, read

        if not runs:
            if metric is not None or gap is not None:
                raise UserError("--rank-by and --min-gap choose the pairs of --preferences; give --preferences RUN")
            return None
        if targets is not None:
            raise UserError("--targets and --preferences cannot be combined; give one of them")
        named = [runs] if isinstance(runs, str) else list(runs)
        least = GAP if gap is None else gap
        found = read(self.database, [self.run(r) for r in named], metric, least, self.loaded_plugins, self.display.warn)
        self.display.tell(f"preferences: {found}")
        return found

    def _unseen(
        self,
        parts: Sequence[tuple[str, PreparedTraining]],
        data: DatasetSpec,
        screening: Mapping[str, Any],
        machine: Machine,
        executor: Executor,
    ) -> RunResult | None:
        """The run of all training rows, each summarised by the model that has not seen it; None where one failed."""
        import pandas as pd

        from dsum_bench.screening import predictions, request
        from dsum_bench.store import reader
        from dsum_bench.training.folds import together

        found: dict[str, str] = {}
        rows: dict[str, Sample] = {}
        first = parts[0][1].request
        for model, one in parts:
            assert one.held is not None
            dialogues = request.Dialogues(data, first.split, one.held)
            asked = request.ScreenRequest(
                tuple(self._models(model)), dialogues, self._prompt(screening["prompt"], data.language),
                screening["prompt_format"], self._decoding(screening["decoding"]), pairs(screening["settings"]), None,
                None, screening["seed"],
            )  # fmt: skip
            candidates = request.candidates(asked, self.registry, self.loaded_plugins, machine)
            (run,) = self._sweep(candidates, one.held.samples, None, None, executor).runs
            if run.status != "done":
                self.display.warn(f"{run.model} is {run.status} on its held-out rows: {run.reason}")
                return None
            found |= {row.sample_id: row.summary for row in reader.samples(self.database, run.run_id)}
            rows |= {sample.id: sample for sample in one.held.samples}
        name = together([model for model, _ in parts])
        samples = tuple(rows[i] for i in sorted(rows, key=lambda i: (len(i), i)))
        frame = pd.DataFrame({"id": [s.id for s in samples], "summary": [found[s.id] for s in samples]})
        read = predictions.read(frame, samples, name)
        candidate = predictions.candidate(name, "folds", read, data, first.split, samples)
        (run,) = self._sweep([candidate], samples, None, None, predictions.FromFile(read)).runs
        return run

    def _screen_trained(
        self, result: FinetuneResult, base: ModelSpec, data: DatasetSpec, **options: Any
    ) -> FinetuneResult:
        from dsum_bench.training.gain import gain

        beside = [name for name in (base.name, f"constant-{data.language}") if name in self.registry.models]
        screening = self.screen([*beside, *result.models], data.name, controls=False, **options)
        pairs = [(model, other) for model in result.models for other in beside]
        gains = tuple(gain(self.database, model, other, data.language) for model, other in pairs)
        return replace(result, screening=screening, gains=gains)
