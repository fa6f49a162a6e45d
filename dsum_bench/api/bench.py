"""The Python API: everything a command does, for notebooks and scripts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dsum_bench.api.management import Management
from dsum_bench.api.workspace import FRAME, Names, Settings, pairs
from dsum_bench.errors import UserError
from dsum_bench.executors.base import HANG_TIMEOUT
from dsum_bench.spec import DatasetSpec, DecodingSpec, Finding, ModelSpec, PromptSpec

if TYPE_CHECKING:
    import pandas as pd

    from dsum_bench.api.doctor import Diagnosis
    from dsum_bench.combining.tally import Tally
    from dsum_bench.plugins import PluginInfo
    from dsum_bench.scaffold import Kind
    from dsum_bench.screening import sweep as sweeps
    from dsum_bench.screening.preflight import Candidate
    from dsum_bench.screening.setup import OpenedModel, TokenizedPrompt
    from dsum_bench.screening.sweep import ScreenResult
    from dsum_bench.spec import Dtype, PromptFormat, Quantization, Sample
    from dsum_bench.training.finetune import FinetuneResult

DATASET = "samples-ko"


@dataclass(frozen=True, slots=True)
class ModelCheck:
    """What the checks found in one model's set-up. problem: why it could not be checked, '' where it could."""

    model: str
    findings: tuple[Finding, ...] = ()
    problem: str = ""


class IncompleteError(UserError):
    """Not every sample could be summarised, so nothing was written."""


class Bench(Management):
    """Models, dialogues and results, opened together.

    Args:
        registry: registry files that extend the shipped one and ``registry.toml`` in the working directory; one path
            or several.
        results: folder of the results database ``dsum.db``, trained models and logs.
        plugins: plugin files, by path, and classes of your own (adapters, metrics, checks, ...), which are registered
            for this bench alone.
        progress: ``"auto"`` shows Rich bars in a terminal and in a notebook and plain lines elsewhere, on standard
            error; a function is called with each ``ProgressEvent``; None is silent.
        console: Rich console that ``"auto"`` writes to.

    Opening a bench reads nothing; registry and plugins are loaded when first needed. Where a name of a registry entry
    is asked for, an object does as well: a ``ModelSpec``, ``DatasetSpec``, ``PromptSpec`` or ``DecodingSpec``, a
    DataFrame of dialogues (columns ``id``, ``dialogue``, ``summary``), or the prompt's own text with ``{dialogue}``.

    Raises (all methods):
        UserError: wrong usage or input; its message is a sentence that says what to do.
    """

    # -- screening ------------------------------------------------------------------------------------------

    def screen(
        self,
        models: Names = "all",
        dataset: Any = DATASET,
        *,
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
        controls: bool = True,
        fresh: bool = False,
        free_cache: bool = False,
        dialogues: bool = True,
        wait: bool = False,
    ) -> ScreenResult:
        """Run models on a dataset and score their summaries. Interrupted runs resume where they stopped.

        Args:
            models: names or specs, or ``"all"``.
            dataset: a name, a ``DatasetSpec``, a DataFrame, or a mapping of splits to DataFrames.
            limit, sample: the first N samples, or N drawn at random with the seed.
            prompt, decoding: for all models; each model's own by default. settings: changed decoding parameters.
            metrics: such as ``rouge@mecab``; by default those of the dataset's language.
            time_budget: seconds for a model, or ``"30m"``. hang_timeout: seconds of silence that end a worker.
            controls: run the controls of the dataset's language too.
            fresh: start over. free_cache: delete a hub model's files once its run is done.
            dialogues: store dialogues and references with the results, so that reports can show them.
            wait: wait for another process that writes the results instead of refusing.
        """
        from dsum_bench.screening.durations import parse_duration
        from dsum_bench.screening.sweep import Settings as SweepSettings

        budget = parse_duration(time_budget) if isinstance(time_budget, str) else time_budget
        found = self.plan(
            models, dataset, split=split, limit=limit, sample=sample, seed=seed, prompt=prompt,
            prompt_format=prompt_format, decoding=decoding, settings=settings, device=device, dtype=dtype,
            quantization=quantization, controls=controls,
        )  # fmt: skip
        samples = self._dialogues(dataset, split, limit, sample, seed).selection.samples
        options = SweepSettings(budget, fresh, free_cache, dialogues, self.results / "logs")
        return self._sweep(found, samples, metrics, options, executor, hang_timeout, wait)

    def plan(
        self,
        models: Names = "all",
        dataset: Any = DATASET,
        *,
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
    ) -> list[Candidate]:
        """What ``screen`` would do with each model, and why not; nothing is loaded or written."""
        from dsum_bench.screening import request as requests

        dialogues = self._dialogues(dataset, split, limit, sample, seed, references)
        named = self._models(models)
        request = requests.ScreenRequest(
            tuple(named), dialogues, self._prompt(prompt, dialogues.spec.language), prompt_format,
            self._decoding(decoding), pairs(settings), dtype, quantization, seed,
        )  # fmt: skip
        if models != "all":
            requests.refuse_unused(request, self.loaded_plugins)
        request = requests.with_controls(request, controls, models == "all", self.registry, self.loaded_plugins)
        found = requests.candidates(request, self.registry, self.loaded_plugins, self._machine(device))
        self.report_problems()
        return found

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
    ) -> pd.DataFrame:
        """A model's summaries of a split, references or not: two columns, id and summary, as the dataset calls them.

        model: a model, or a stored run (its key or the beginning of it), whose summaries are taken as they are.
        output: new ``.csv`` or ``.jsonl`` file to write them to. index: number its rows in a first column.

        Raises:
            IncompleteError: some samples could not be summarised; nothing is written.
        """
        from dsum_bench.api.frames import frame
        from dsum_bench.screening import submission
        from dsum_bench.store import reader

        if output is not None:
            submission.check_output(Path(output))
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
        if output is not None:
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
        sample of the split. name: what the leaderboard calls the run; by default the file's name.
        allow_missing: count missing samples as empty.
        """
        from dsum_bench.screening import predictions
        from dsum_bench.screening.sweep import ScreenResult

        listed = list(sources) if isinstance(sources, list | tuple) else [sources]
        dialogues = self._dialogues(dataset, split)
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
        """Exactly what a model reads for one sample (by id; the first by default), with token ids."""
        from dsum_bench.errors import ModelError, ModelSkipped
        from dsum_bench.screening.setup import tokenized

        (spec,) = self._models(model)
        try:
            opened = self._open(spec, dataset, split=split, prompt=prompt, prompt_format=prompt_format)
            return tokenized(opened, self._sample(dataset, split, sample))
        except (ModelError, ModelSkipped) as error:
            raise UserError(f"{spec.name}: {error}") from None

    # -- training -------------------------------------------------------------------------------------------

    def finetune(
        self,
        model: str | ModelSpec,
        dataset: Any = DATASET,
        *,
        recipe: str | None = None,
        settings: Settings = (),
        sweep: str | None = None,
        split: str = "train",
        dev_split: str | None = None,
        limit: int | None = None,
        sample: int | None = None,
        dev_limit: int = 100,
        max_steps: int | None = None,
        name: str | None = None,
        prompt: str | PromptSpec | None = None,
        prompt_format: PromptFormat = "template",
        seed: int = 42,
        device: Literal["auto", "cpu"] = "auto",
        dtype: Dtype | None = None,
        hang_timeout: float = HANG_TIMEOUT,
        executor: str = "local",
        fresh: bool = False,
        plan_only: bool = False,
        probe: bool = True,
        ignore_memory: bool = False,
        screen: bool = True,
        screen_limit: int | None = None,
    ) -> FinetuneResult:
        """Train a model by recipe, then screen the result beside its base and the constant control.

        Args:
            recipe: of the registry; the model's own by default. settings: changed parameters of the recipe.
            sweep: a run for each point of a grid, such as ``"lr=1e-4,2e-4 r=16,32"``.
            dev_limit: rows for the evaluation of each epoch, 0 for none. max_steps: updates after which training ends.
            name: the result is called ``MODEL@name``; from its settings by default.
            plan_only: plan and stop. probe: time a batch first. ignore_memory: train even where the plan does not fit.
            screen: screen base and result afterwards, on screen_limit samples or all.
        """
        from dsum_bench.progress.display import Display
        from dsum_bench.training.finetune import FinetuneResult, TrainingOptions, check_name, make_job, train_all
        from dsum_bench.training.prepare import TrainingRequest, grid, prepare
        from dsum_bench.training.sessions import main_process

        (spec,) = self._models(model)
        data = self._dataset(dataset)
        asked = self._prompt(prompt, data.language)
        points = grid(sweep) if sweep else [()]
        check_name(name, len(points))
        requests = [
            TrainingRequest(
                spec.name, recipe, data.name, split, dev_split, limit, sample, dev_limit, asked.name if asked else None,
                prompt_format, (*pairs(settings), *point), max_steps, seed, dtype,
            )
            for point in points
        ]  # fmt: skip
        prepared = [prepare(r, self.registry, self.loaded_plugins, self._machine(device)) for r in requests]
        self.report_problems()
        options = TrainingOptions(name, plan_only, probe, ignore_memory, fresh)
        jobs = [make_job(p, options, self.loaded_plugins, self.results) for p in prepared]
        workers = self.loaded_plugins.get("executor", executor)(hang_timeout)
        shown = self.display if main_process() else Display(None)
        with shown.training() as observer:
            trainings = train_all(jobs, self.database, self.loaded_plugins, observer, options, workers)
        result = FinetuneResult(trainings)
        if not (screen and result.models and main_process()):
            return result
        return self._screen_trained(
            result, spec, data, split=dev_split, limit=screen_limit, seed=seed, prompt=prompt,
            prompt_format=prompt_format, device=device, hang_timeout=hang_timeout, executor=executor,
        )  # fmt: skip

    def export(self, model: str, output: str | Path, *, merge: bool = False, dataset: Any = DATASET) -> Path:
        """Write a trained model ``BASE@RUN`` with a model card to a new folder.

        merge: whole weights instead of an adapter, tried on dialogues of dataset.
        """
        from dsum_bench.training.release import export

        data = self._dataset(dataset).name if merge else ""
        export(model, Path(output), self.registry, self.loaded_plugins, self.database, data, self.display.tell)
        return Path(output)

    def votes(self, files: Sequence[str | Path]) -> Tally:
        """Rank runs by votes of people and judges, and say how far every metric agrees with them.

        files: CSV with columns voter, sample_id, first, second (runs, in the order shown), choice.
        """
        from dsum_bench.combining import tally, votes

        given = votes.read([Path(f) for f in files])
        return tally.tally(given, tally.stored(self.database, [run for vote in given for run in vote.pair]))

    def report(
        self,
        output: str | Path = "report.html",
        *,
        dialogues: bool = True,
        metric: str | None = None,
        dataset: str | None = None,
        split: str | None = None,
    ) -> Path:
        """Write results as one HTML file that needs no network; returns its path.

        dialogues: False leaves out all texts, for a file that you share.
        """
        from dsum_bench.report import write_report

        return write_report(self.database, Path(output), dialogues, metric, dataset, split)

    def plot(
        self,
        what: str = "forest",
        output: str | Path | None = None,
        value: str | None = None,
        *,
        metric: str | None = None,
        dataset: str | None = None,
        split: str | None = None,
        language: Literal["en", "ko"] = "en",
        dark: bool = False,
    ) -> Any:
        """A chart of the largest board as an Altair chart, which a notebook shows.

        what: ``forest``, ``tradeoff``, ``distribution``, ``matrix``, ``topics``, ``lengths`` or ``curve``.
        output: file to write it to: ``.svg``, ``.png``, ``.pdf``, ``.html``, ``.json``.
        value: cost of a tradeoff, value of a distribution, or measure of a curve.
        """
        from dsum_bench.report.content import gather
        from dsum_bench.report.plots import make_chart, save_plot

        chart = make_chart(gather(self.database, metric, dataset, split), what, value, language, dark)
        if output is not None:
            save_plot(chart, Path(output))
        return chart

    def view(
        self,
        runs: Sequence[str] = (),
        *,
        vote: bool = False,
        port: int = 0,
        votes: str | Path | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        """Serve the report of live results on this machine until interrupted.

        vote: a blind vote between runs instead; votes: its file, ``votes.csv`` in the results folder by default.
        port: 0 takes a free one. tell: called with the address.
        """
        from dsum_bench.report.server import serve
        from dsum_bench.report.votes import Ballot

        if runs and not vote:
            raise UserError("RUNs are named for a vote only: view --vote A B")
        file = Path(votes) if votes is not None else self.results / "votes.csv"
        ballot = Ballot.open(self.database, runs, file) if vote else None
        serve(self.database, port, ballot, tell or self.display.tell)

    # -- what there is --------------------------------------------------------------------------------------

    def models(self) -> pd.DataFrame:
        """The model zoo, one row a model, with the fields of ``ModelSpec``."""
        import pandas as pd

        return pd.DataFrame([asdict(spec) for spec in self.registry.models.values()]).astype({"params": "Int64"})

    def datasets(self) -> pd.DataFrame:
        """The datasets of the registry, one row a split. samples: their number; problem: why it cannot be read."""
        from dsum_bench.api.frames import SPLIT_COLUMNS, frame

        rows = (asdict(spec) | {"dataset": spec.name} | asdict(split) for spec, split in self.splits())
        return frame(({name: row[name] for name in SPLIT_COLUMNS} for row in rows), SPLIT_COLUMNS)

    def splits(self) -> list[tuple[DatasetSpec, Any]]:
        """Each dataset of the registry with each of its splits (``SplitSummary``)."""
        from dsum_bench.datasets.splits import splits

        datasets = self.registry.datasets.values()
        return [(spec, split) for spec in datasets for split in splits(spec, self.loaded_plugins)]

    def plugins(self) -> list[PluginInfo]:
        """Every plugin with its version, import time and what it registers."""
        self.loaded_plugins.collect_all()
        return list(self.loaded_plugins.info.values())

    def doctor(self, verify_metrics: bool = False) -> list[Diagnosis]:
        """What this machine can do. verify_metrics: compute every stored ROUGE score again with the packages."""
        from dsum_bench.api import doctor

        if verify_metrics:
            with self.display.counted("runs verified") as progress:
                return list(doctor.verified(self.registry, self.loaded_plugins, self.database, progress))
        return list(doctor.examine(self.loaded_plugins, self.database))

    def new_plugin(self, name: str, kind: Kind, folder: str | Path = ".") -> list[Path]:
        """Write a plugin package ``dsum-bench-NAME`` that works as it is; returns its folder, then its files."""
        from dsum_bench.scaffold import create

        return create(name, kind, Path(folder))

    # -- work -----------------------------------------------------------------------------------------------

    def _open(self, model: ModelSpec, dataset: Any, **options: Any) -> OpenedModel:
        from dsum_bench.screening.setup import open_model

        (candidate,) = self.plan(model, dataset, controls=False, references=False, **options)
        return open_model(candidate, self.loaded_plugins, self.display.tell)

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
            executor = plugins.get("executor", executor)(hang_timeout)
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

    def _screen_trained(
        self, result: FinetuneResult, base: ModelSpec, data: DatasetSpec, **options: Any
    ) -> FinetuneResult:
        from dsum_bench.training.gain import gain

        beside = [name for name in (base.name, f"constant-{data.language}") if name in self.registry.models]
        screening = self.screen([*beside, *result.models], data.name, controls=False, **options)
        pairs = [(model, other) for model in result.models for other in beside]
        gains = tuple(gain(self.database, model, other, data.language) for model, other in pairs)
        return replace(result, screening=screening, gains=gains)
