"""Screening from Python: run models, score files, look at prompts and checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dsum_bench.api.management import Management
from dsum_bench.api.workspace import FRAME, Names, Settings, pairs
from dsum_bench.errors import UserError
from dsum_bench.spec import HANG_TIMEOUT, DecodingSpec, Finding, ModelSpec, PromptSpec

if TYPE_CHECKING:
    import pandas as pd

    from dsum_bench.machine import Machine
    from dsum_bench.registry.grid import Axes
    from dsum_bench.screening import sweep as sweeps
    from dsum_bench.screening.preflight import Candidate
    from dsum_bench.screening.request import Dialogues, ScreenRequest
    from dsum_bench.screening.setup import OpenedModel, TokenizedPrompt
    from dsum_bench.screening.sweep import ScreenResult
    from dsum_bench.spec import Dtype, PromptFormat, Quantization, Sample

DATASET = "samples-ko"
Sweep = str | Mapping[str, Sequence[Any]]
"""A grid of settings: ``"key=a,b other=1,2"``, or key -> values."""


@dataclass(frozen=True, slots=True)
class ModelCheck:
    """What the checks found in one model's set-up. problem: why it could not be checked, '' where it could."""

    model: str
    findings: tuple[Finding, ...] = ()
    problem: str = ""


class IncompleteError(UserError):
    """Not every sample could be summarised, so nothing was written."""


class ScreeningBench(Management):
    """The part of a bench that runs models and scores summaries."""

    def screen(
        self,
        models: Names = "all",
        dataset: Any = DATASET,
        *,
        family: str | None = None,
        max_params: int | str | None = None,
        split: str | None = None,
        limit: int | None = None,
        sample: int | None = None,
        seed: int = 42,
        prompt: str | PromptSpec | None = None,
        prompt_format: PromptFormat = "template",
        decoding: str | DecodingSpec | None = None,
        settings: Settings = (),
        metrics: Sequence[str] | None = None,
        device: Literal["auto", "cpu"] = "auto",
        dtype: Dtype | None = None,
        quantization: Quantization | None = None,
        time_budget: float | str | None = None,
        hang_timeout: float = HANG_TIMEOUT,
        executor: str = "local",
        address: str = "",
        controls: bool = True,
        fresh: bool = False,
        free_cache: bool = False,
        dialogues: bool = True,
        wait: bool = False,
        sweep: Sweep | None = None,
        confirm_on: str | float | None = None,
        race: bool = False,
    ) -> ScreenResult:
        """Run models on a dataset and score their summaries. Interrupted runs resume where they stopped.

        Args:
            models: names or specs, or ``"all"``.
            dataset: a name, a ``DatasetSpec``, a DataFrame, or a mapping of splits to DataFrames.
            family, max_params: for all models, only those of a family (an adapter, or a prefix of names), and those
                with at most this many parameters (a number, or ``"4B"``).
            limit, sample: the first N samples, or N drawn at random with the seed.
            prompt, decoding: for all models; each model's own by default. settings: changed decoding parameters.
            metrics: such as ``rouge@mecab``; by default those of the dataset's language.
            time_budget: seconds per model, or ``"30m"``. hang_timeout: seconds without progress after which a worker is
                stopped.
            executor: where workers run. address: of its cluster, for an executor that uses other machines.
            controls: run the controls for the dataset's language too.
            fresh: start over. free_cache: delete a hub model's files once its run is done.
            dialogues: store dialogues and references with the results, so that reports can show them.
            wait: wait for another process that is working on the same run instead of skipping it.
            sweep: a run for each point of a grid of prompts, decodings and decoding parameters, such as
                ``"prompt=a,b decoding=greedy,beam4 length_penalty=0.8,1.0"`` or a mapping of keys to values; a model is
                loaded once.
            confirm_on: select the best point on a part of the samples and score it on the rest, whose share this is,
                or on this split.
            race: score models and points on growing parts of the samples, and stop those that fall behind; generates at
                most 40 % of the full sweep, 50 to 75 % with fewer than eight candidates. The full sweep reuses the
                race's outputs. Without controls.
        """
        from dsum_bench.screening import points
        from dsum_bench.screening.durations import parse_duration
        from dsum_bench.screening.sweep import Settings as SweepSettings

        budget = parse_duration(time_budget) if isinstance(time_budget, str) else time_budget
        runner = self._executor(executor, hang_timeout, address)
        machine = self._machine(device, runner.machine())
        request = self._request(
            self._models(models, family, max_params), self._dialogues(dataset, split, limit, sample, seed),
            seed=seed, prompt=prompt, prompt_format=prompt_format, decoding=decoding, settings=settings, dtype=dtype,
            quantization=quantization,
        )  # fmt: skip
        options = SweepSettings(budget, fresh, free_cache, dialogues, self.results / "logs")
        work = (metrics, options, runner, hang_timeout, wait)
        if race:
            if confirm_on is not None:
                raise UserError("--race and --confirm-on cannot be combined; race first, then confirm the winner")
            if fresh:
                raise UserError("--fresh cannot be combined with --race, which reuses the outputs of earlier rounds")
            return self._race(request, models == "all", machine, sweep, work)
        if sweep is None:
            if confirm_on is not None:
                raise UserError('--confirm-on needs a sweep: --sweep "prompt=a,b"')
            found = self._candidates(request, models == "all", controls, machine)
            return self._sweep(found, request.dialogues.selection.samples, *work)
        rest = None
        if confirm_on is not None:
            share = points.share_of(confirm_on) if isinstance(confirm_on, str) else confirm_on
            if share is None:
                rest = self._dialogues(dataset, str(confirm_on), None, None, seed)
                if rest.split == request.dialogues.split:
                    raise UserError(f"--confirm-on {rest.split} is the split used for selection; choose another")
            else:
                chosen, rest = points.divided(request.dialogues, share, seed)
                request = replace(request, dialogues=chosen)
        axes = self._axes(sweep, request.dialogues.spec.language)
        found = self._candidates(request, models == "all", controls, machine, axes)
        result = self._with_table(self._sweep(found, request.dialogues.selection.samples, *work), found, metrics)
        if rest is None or result.table is None:
            return result
        request = replace(request, dialogues=rest)
        again = self._candidates(request, models == "all", False, machine, axes)
        kept = points.to_confirm(result.table, found, again)
        confirmed = self._with_table(self._sweep(kept, rest.selection.samples, *work), kept, metrics)
        broken = tuple(sorted({*result.broken_metrics, *confirmed.broken_metrics}))
        runs = (*result.runs, *confirmed.runs)
        return replace(result, runs=runs, broken_metrics=broken, confirmed=confirmed.table)

    def plan(
        self,
        models: Names = "all",
        dataset: Any = DATASET,
        *,
        family: str | None = None,
        max_params: int | str | None = None,
        split: str | None = None,
        limit: int | None = None,
        sample: int | None = None,
        seed: int = 42,
        prompt: str | PromptSpec | None = None,
        prompt_format: PromptFormat = "template",
        decoding: str | DecodingSpec | None = None,
        settings: Settings = (),
        device: Literal["auto", "cpu"] = "auto",
        dtype: Dtype | None = None,
        quantization: Quantization | None = None,
        controls: bool = True,
        references: bool = True,
        sweep: Sweep | None = None,
        executor: str = "local",
        address: str = "",
    ) -> list[Candidate]:
        """What ``screen`` would run, and why it would skip a model; nothing is loaded or written.

        executor, address: plan for the machines of this executor.
        """
        request = self._request(
            self._models(models, family, max_params), self._dialogues(dataset, split, limit, sample, seed, references),
            seed=seed, prompt=prompt, prompt_format=prompt_format, decoding=decoding, settings=settings, dtype=dtype,
            quantization=quantization,
        )  # fmt: skip
        machine = self._machine(device, self._executor(executor, HANG_TIMEOUT, address).machine())
        axes = self._axes(sweep, request.dialogues.spec.language) if sweep is not None else None
        return self._candidates(request, models == "all", controls, machine, axes)

    def predict(
        self,
        model: str | ModelSpec,
        output: str | Path | None = None,
        dataset: Any = DATASET,
        *,
        split: str | None = None,
        limit: int | None = None,
        seed: int = 42,
        prompt: str | PromptSpec | None = None,
        prompt_format: PromptFormat = "template",
        decoding: str | DecodingSpec | None = None,
        settings: Settings = (),
        index: bool = False,
        like: str | Path | None = None,
    ) -> pd.DataFrame:
        """A model's summaries of a split, with or without references: the dataset's columns for id and summary.

        model: a model, or a stored run (its key or a prefix of it), whose summaries are used unchanged.
        output: new ``.csv`` or ``.jsonl`` file to write them to. index: number its rows in a first column. like: sample
            file (``.csv``, ``.tsv``, or ``.json`` in NIKL's layout) that the output takes its columns, order, index,
            separator and encoding from; every id in it must have a summary that is not empty.

        Raises:
            IncompleteError: some samples could not be summarised; nothing is written.
        """
        from dsum_bench.api.frames import frame
        from dsum_bench.screening import submission
        from dsum_bench.store import reader

        if output is not None:
            submission.check_output(Path(output), Path(like) if like is not None else None)
        elif like is not None:
            raise UserError("--like needs --output, the file to write")
        if like is not None and index:
            raise UserError("--index cannot be combined with --like: the sample file defines the index")
        name = model if isinstance(model, str) else model.name
        if isinstance(model, ModelSpec) or name in self.registry.models:
            name = self._generate(
                model, dataset, split=split, limit=limit, seed=seed, prompt=prompt, prompt_format=prompt_format,
                decoding=decoding, settings=settings,
            )  # fmt: skip
        elif not self.database.exists():
            self.registry.model(name)  # says which names are near
        record = reader.run(self.database, name)
        if record.row.status != "done":
            run = f"run {record.row.run_id} of {record.row.model} is not finished"
            raise UserError(f"{run} ({record.row.status}); screen its model again first")
        rows = reader.samples(self.database, record.row.run_id)
        columns = submission.columns_of(self.registry.datasets.get(record.dataset))
        if output is not None and like is not None:
            submission.write_like(Path(output), rows, columns, Path(like))
        elif output is not None:
            submission.write(Path(output), rows, columns, index)
        values = ({columns[0]: row.sample_id, columns[1]: row.summary} for row in rows)
        return frame(values, dict.fromkeys(columns, "string"))

    def score(
        self,
        sources: Any,
        name: str | None = None,
        dataset: Any = DATASET,
        *,
        split: str | None = None,
        id_column: str | None = None,
        summary_column: str | None = None,
        allow_missing: bool = False,
        metrics: Sequence[str] | None = None,
        wait: bool = False,
    ) -> ScreenResult:
        """Score summaries made elsewhere and put them on the leaderboard.

        sources: a CSV or JSON Lines file, a DataFrame, or several of them, each with an id and a summary for every
        sample of the split. name: of the run on the leaderboard; by default the file's name.
        allow_missing: count missing samples as empty. metrics: if none of them needs references, the split needs
        none either.
        """
        from dsum_bench.screening import predictions
        from dsum_bench.screening.sweep import ScreenResult

        listed = list(sources) if isinstance(sources, list | tuple) else [sources]
        needed = metrics is None or any(map(self._needs_references, metrics))
        dialogues = self._dialogues(dataset, split, references=needed)
        samples = dialogues.selection.samples
        names = predictions.names(listed, name, self.registry.models, FRAME)
        options = (id_column, summary_column, allow_missing)
        read = [predictions.read(s, samples, n, *options) for s, n in zip(listed, names, strict=True)]
        self.report_problems()
        ended: list[ScreenResult] = []
        for source, called, found in zip(listed, names, read, strict=True):
            origin = predictions.origin(source)
            if found.missing:
                self.display.warn(f"{len(found.missing)} samples have no summary in {origin} and count as empty")
            run = predictions.candidate(called, origin, found, dialogues.spec, dialogues.split, samples)
            executor = predictions.FromFile(found)
            ended.append(self._sweep([run], samples, metrics, executor=executor, wait=wait))
        broken = {metric for result in ended for metric in result.broken_metrics}
        runs = tuple(run for result in ended for run in result.runs)
        return ScreenResult(runs, tuple(sorted(broken)), self.results)

    def _needs_references(self, metric: str) -> bool:
        from dsum_bench.metrics.choose import parse_metric

        return self.loaded_plugins.get("metric", parse_metric(metric).metric, f"metric '{metric}'").needs_references

    # -- looking at a model ---------------------------------------------------------------------------------

    def check(
        self,
        models: Names,
        dataset: Any = DATASET,
        *,
        split: str | None = None,
        limit: int | None = None,
        prompt: str | PromptSpec | None = None,
        prompt_format: PromptFormat = "template",
        decoding: str | DecodingSpec | None = None,
        settings: Settings = (),
    ) -> list[ModelCheck]:
        """Run the protocol checks that need no generation: prompts, tokens, settings, data. Loads no weights."""
        from dsum_bench.errors import ModelError, ModelSkipped
        from dsum_bench.screening import setup

        samples = self._dialogues(dataset, split, limit, references=False).selection.samples
        found = []
        for model in self._models(models):
            try:
                opened = self._open(
                    model, dataset, split=split, limit=limit, prompt=prompt, prompt_format=prompt_format,
                    decoding=decoding, settings=settings,
                )  # fmt: skip
                findings = setup.findings(opened, samples, self.loaded_plugins, self.display.warn)
                found.append(ModelCheck(model.name, tuple(findings)))
            except (ModelError, ModelSkipped, UserError) as error:
                found.append(ModelCheck(model.name, problem=str(error).removeprefix(f"{model.name}: ")))
        return found

    def prompt(
        self,
        model: str | ModelSpec,
        dataset: Any = DATASET,
        *,
        split: str | None = None,
        sample: str | None = None,
        prompt: str | PromptSpec | None = None,
        prompt_format: PromptFormat = "template",
    ) -> TokenizedPrompt:
        """The exact prompt of a model for one sample (by id; the first by default), with token ids."""
        from dsum_bench.errors import ModelError, ModelSkipped
        from dsum_bench.screening.setup import tokenized

        (spec,) = self._models(model)
        try:
            opened = self._open(spec, dataset, split=split, prompt=prompt, prompt_format=prompt_format)
            return tokenized(opened, self._sample(dataset, split, sample))
        except (ModelError, ModelSkipped) as error:
            raise UserError(f"{spec.name}: {error}") from None

    # -- work ---------------------------------------------------------------------------------------------------

    def _open(self, model: ModelSpec, dataset: Any, **options: Any) -> OpenedModel:
        from dsum_bench.screening.setup import open_model

        (candidate,) = self.plan(model, dataset, controls=False, references=False, **options)
        return open_model(candidate, self.loaded_plugins, self.display.tell)

    def _request(
        self,
        models: Sequence[ModelSpec],
        dialogues: Dialogues,
        *,
        seed: int,
        prompt: str | PromptSpec | None,
        prompt_format: PromptFormat,
        decoding: str | DecodingSpec | None,
        settings: Settings,
        dtype: Dtype | None,
        quantization: Quantization | None,
    ) -> ScreenRequest:
        from dsum_bench.screening.request import ScreenRequest

        return ScreenRequest(
            tuple(models), dialogues, self._prompt(prompt, dialogues.spec.language), prompt_format,
            self._decoding(decoding), pairs(settings), dtype, quantization, seed,
        )  # fmt: skip

    def _candidates(
        self, request: ScreenRequest, everything: bool, controls: bool, machine: Machine, axes: Axes | None = None
    ) -> list[Candidate]:
        """Every model of a request, checked, at every point of a sweep, with the controls of its language first."""
        from dsum_bench.screening import request as requests
        from dsum_bench.screening.points import point_candidates

        registry, plugins = self.registry, self.loaded_plugins
        if axes is None and not everything:
            requests.refuse_unused(request, plugins)
        whole = requests.with_controls(request, controls, everything, registry, plugins)
        if axes is None:
            found = requests.candidates(whole, registry, plugins, machine)
        else:
            names = {model.name for model in request.models}
            beside = replace(whole, models=tuple(m for m in whole.models if m.name not in names))
            swept = replace(whole, models=tuple(m for m in whole.models if m.name in names))
            plain = replace(beside, prompt=None, decoding=None, settings=())
            found = [
                *requests.candidates(plain, registry, plugins, machine),
                *point_candidates(swept, axes, not everything, registry, plugins, machine),
            ]
        self.report_problems()
        return found

    def _axes(self, sweep: Sweep, language: str) -> Axes:
        """The axes of a sweep, prompts given by their text made specs."""
        from dsum_bench.registry import grid

        found = grid.axes(sweep) if isinstance(sweep, str) else {key: tuple(values) for key, values in sweep.items()}
        return {k: tuple(self._prompt(v, language) for v in vs) if k == "prompt" else vs for k, vs in found.items()}

    def _race(
        self, request: ScreenRequest, everything: bool, machine: Machine, sweep: Sweep | None, work: tuple[Any, ...]
    ) -> ScreenResult:
        from dsum_bench.api.racing import Racing
        from dsum_bench.languages import main_metric
        from dsum_bench.screening.race import SMALLEST
        from dsum_bench.screening.sweep import ScreenResult

        metrics, whole = work[0], request.dialogues.selection.samples
        if len(whole) < SMALLEST:
            raise UserError(f"--race needs {SMALLEST} samples or more, not {len(whole)}: screen without --race")
        axes = self._axes(sweep, request.dialogues.spec.language) if sweep is not None else None
        request = replace(request, held=whole)
        racing = Racing(
            request,
            next(iter(metrics or ()), main_metric(request.dialogues.spec.language)),
            self.database,
            lambda asked: self._candidates(asked, everything, False, machine, axes),
            lambda candidates, samples: self._sweep(candidates, samples, *work),
            self.display.tell,
            self._discard,
        )
        table = racing.go()
        return ScreenResult(tuple(racing.runs.values()), tuple(sorted(racing.broken)), self.results, race=table)

    def _discard(self, runs: Sequence[str]) -> None:
        """Delete runs of earlier rounds of a race, all of whose samples a larger run has."""
        from dsum_bench.api.racing import LABEL
        from dsum_bench.store import reader

        stored = {r.row.run_id for r in reader.runs(self.database) if r.selection.startswith(LABEL) and not r.row.name}
        self.delete(sorted(set(runs) & stored))

    def _with_table(
        self, result: ScreenResult, candidates: Sequence[Candidate], metrics: Sequence[str] | None
    ) -> ScreenResult:
        from dsum_bench.fingerprints import run_id
        from dsum_bench.languages import main_metric
        from dsum_bench.screening.tables import point_table

        said = {run_id(c.run): c.point for c in candidates if not c.control and c.status == "ready"}
        metric = next(iter(metrics or ()), main_metric(candidates[0].run.language))
        return replace(result, table=point_table(self.database, said, metric))

    def _sweep(
        self,
        candidates: Sequence[Candidate],
        samples: Sequence[Sample],
        metrics: Sequence[str] | None,
        options: sweeps.Settings | None = None,
        executor: Any = "local",
        hang_timeout: float = HANG_TIMEOUT,
        wait: bool = False,
    ) -> ScreenResult:
        from dsum_bench.languages import default_metrics
        from dsum_bench.metrics.choose import build, unsuited
        from dsum_bench.screening import sweep as sweeps
        from dsum_bench.screening.request import announcement
        from dsum_bench.store.writer import Store

        plugins = self.loaded_plugins
        language = candidates[0].run.language if candidates else ""
        built = {m: build(plugins, m) for m in dict.fromkeys(default_metrics(language) if metrics is None else metrics)}
        for sentence in unsuited(built, language):
            self.display.warn(sentence)
        if isinstance(executor, str):
            executor = self._executor(executor, hang_timeout)
        if text := announcement(candidates):
            self.display.tell(text)
        options = options or sweeps.Settings(log_folder=self.results / "logs")
        with Store.open(self.database, wait) as store, self.display.screening(len(candidates)) as observer:
            sweep = sweeps.Sweep(samples, built, store, plugins, observer, options)
            runs = tuple(sweep.go(candidates, executor))
        return sweeps.ScreenResult(runs, tuple(sorted(sweep.broken)), self.results)

    def _generate(self, model: str | ModelSpec, dataset: Any, **options: Any) -> str:
        """Key of the run that has all summaries."""
        from dsum_bench.fingerprints import run_id
        from dsum_bench.store import reader

        (candidate,) = self.plan(model, dataset, controls=False, references=False, **options)
        key = run_id(candidate.run)
        if self.database.exists() and key in reader.finished(self.database):
            return key  # with scores and findings, which a sweep without metrics would not have
        dialogues = self._dialogues(dataset, options["split"], options["limit"], references=False)
        (run,) = self._sweep([candidate], dialogues.selection.samples, ()).runs
        if run.status != "done":
            raise IncompleteError(f"{run.model} is {run.status}: {run.reason}")
        return key
