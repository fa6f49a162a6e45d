"""Plugins as people write them: installed packages and single files, good ones and broken ones."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from dsum_bench import hookspecs
from dsum_bench.datasets.load import load as load_dataset
from dsum_bench.errors import UserError
from dsum_bench.metrics.choose import build
from dsum_bench.plugins import BUILTIN, Plugins
from dsum_bench.registry.load import load, plugin_files
from dsum_bench.spec import LOAD_VARIABLE, DatasetSpec, PluginSettings

Install = Callable[..., str]


def adapter(name: str) -> str:
    """Source of a plugin with an adapter of this name."""
    return f"""
        from dsum_bench import Adapter, Prompt, hookimpl

        class Mine(Adapter):
            name = "{name}"
            architecture = "none"
            prompt_style = "none"

            def prompt(self, sample):
                return Prompt(sample.id, sample.dialogue[:5])

            def parse(self, generation):
                return generation.text

        @hookimpl
        def dsum_register_adapters(register):
            register(Mine)
    """


def models(*made: str) -> str:
    """Source of a plugin that registers these models."""
    return f"""
        from dsum_bench import ModelSpec, hookimpl

        @hookimpl
        def dsum_register_models(register):
            for model in [{", ".join(made)}]:
                register(model)
    """


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a package the way pip leaves it: a module and its metadata with an entry point, on sys.path."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    monkeypatch.delenv(LOAD_VARIABLE, raising=False)

    def make(name: str, source: str, version: str = "1.2") -> str:
        module = name.replace("-", "_")
        monkeypatch.delitem(sys.modules, module, raising=False)
        (site / f"{module}.py").write_text(textwrap.dedent(source), encoding="utf-8")
        info = site / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
        (info / "entry_points.txt").write_text(f"[dsum_bench]\n{module} = {module}\n", encoding="utf-8")
        return name

    return make


def file_plugin(path: Path, source: str) -> Plugins:
    path.write_text(textwrap.dedent(source), encoding="utf-8")
    return Plugins(PluginSettings(packages=(), files=(str(path),)))


# -- built-ins --------------------------------------------------------------------------------------------------


def test_built_ins_register_through_the_same_hooks() -> None:
    plugins = Plugins(PluginSettings(packages=()))
    plugins.collect_all()
    assert [name for name, info in plugins.info.items() if info.builtin] == list(BUILTIN)
    assert plugins.problems == []
    assert {"csv", "jsonl", "embedded"} <= set(plugins.datasets)
    assert plugins.info["dsum_bench.datasets"].registers["datasets"] == list(plugins.datasets)
    assert all(cls.name == name for name, cls in plugins.datasets.items())


def test_every_kind_of_registration_has_a_mapping_of_its_own() -> None:
    plugins = Plugins(PluginSettings(packages=()))
    for hook in hookspecs.registration_hooks():
        assert isinstance(getattr(plugins, hook.removeprefix("dsum_register_")), dict)


def test_collecting_everything_imports_nothing_heavy() -> None:
    code = """
        import sys
        from dsum_bench.plugins import Plugins
        from dsum_bench.spec import PluginSettings
        Plugins(PluginSettings(packages=())).collect_all()
        heavy = {"torch", "transformers", "pandas", "numpy", "MeCab", "sqlite_utils", "rich"}
        print(sorted(heavy & set(sys.modules)))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# -- installed packages -----------------------------------------------------------------------------------------


def test_an_installed_package_is_found_by_its_entry_point(install: Install) -> None:
    install("dsum-bench-testmine", adapter("mine"), version="3.4")
    plugins = Plugins()
    assert plugins.adapters["mine"].architecture == "none"
    info = plugins.info["dsum-bench-testmine"]
    assert (info.version, info.builtin, info.problem) == ("3.4", False, "")
    assert info.registers["adapters"] == ["mine"]


def test_the_variable_chooses_packages(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("dsum-bench-testone", adapter("one"))
    install("dsum-bench-testtwo", adapter("two"))
    assert {"one", "two"} <= set(Plugins().adapters)
    monkeypatch.setenv(LOAD_VARIABLE, "")
    assert not {"one", "two"} & set(Plugins().adapters)
    assert set(Plugins().info) == set(BUILTIN)
    monkeypatch.setenv(LOAD_VARIABLE, " dsum-bench-testtwo ,")
    assert {"one", "two"} & set(Plugins().adapters) == {"two"}
    monkeypatch.setenv(LOAD_VARIABLE, "dsum_bench_testone,dsum-bench-testtwo")  # by entry point as well
    assert {"one", "two"} <= set(Plugins().adapters)


def test_the_variable_naming_what_is_not_installed_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LOAD_VARIABLE, "dsum-bench-nowhere")
    with pytest.raises(UserError, match="names plugin 'dsum-bench-nowhere', which is not installed"):
        Plugins()


def test_the_switch_runs_no_code_of_a_package(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = tmp_path / "ran"
    install("dsum-bench-testtrace", f"open({str(trace)!r}, 'w').close()")
    monkeypatch.setenv(LOAD_VARIABLE, "")
    Plugins().collect_all()
    assert not trace.exists()
    monkeypatch.delenv(LOAD_VARIABLE)
    Plugins().collect_all()
    assert trace.exists()


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("import no_such_module_at_all", "not loaded: ModuleNotFoundError: No module named 'no_such_module_at_all'"),
        ("def broken(:", "not loaded: SyntaxError: "),
        ("1 / 0", "not loaded: ZeroDivisionError: division by zero"),
    ],
)
def test_a_package_that_does_not_import_is_skipped_and_named(install: Install, source: str, problem: str) -> None:
    install("dsum-bench-testbroken", source)
    install("dsum-bench-testgood", adapter("good"))
    plugins = Plugins()
    assert "good" in plugins.adapters
    assert [p for p in plugins.problems if p.startswith(f"plugin dsum-bench-testbroken: {problem}")]


def test_a_hook_that_raises_is_named_and_the_others_are_called(install: Install) -> None:
    source = """
        from dsum_bench import hookimpl

        @hookimpl
        def dsum_register_adapters(register):
            raise RuntimeError("no licence")
    """
    install("dsum-bench-testraises", source)
    install("dsum-bench-testgood", adapter("good"))
    plugins = Plugins()
    assert "good" in plugins.adapters
    assert plugins.problems == [
        "plugin dsum-bench-testraises: dsum_register_adapters failed: RuntimeError('no licence')"
    ]


# -- names ------------------------------------------------------------------------------------------------------


def test_a_name_that_two_plugins_want_is_refused_and_both_are_named(install: Install) -> None:
    install("dsum-bench-testfirst", adapter("same"))
    install("dsum-bench-testsecond", adapter("same"))
    plugins = Plugins()
    assert "same" in plugins.adapters
    pair = ("dsum-bench-testfirst", "dsum-bench-testsecond")  # which is found first is the file system's choice
    said = [
        f"plugin {b}: {b} registers 'same' among adapters, which {a} already registered" for a, b in (pair, pair[::-1])
    ]
    assert len(plugins.problems) == 1 and plugins.problems[0] in said


def test_a_name_of_a_built_in_cannot_be_taken(install: Install) -> None:
    install("dsum-bench-testthief", adapter("chat"))
    plugins = Plugins()
    assert plugins.adapters["chat"].__module__.startswith("dsum_bench.")
    assert plugins.problems == [
        "plugin dsum-bench-testthief: dsum-bench-testthief registers 'chat' among adapters, "
        "which dsum_bench.adapters already registered"
    ]


@pytest.mark.parametrize("line", ["", "name = ''", "name = 7"])
def test_a_class_without_a_name_is_refused_with_its_owner(install: Install, line: str) -> None:
    source = f"""
        from dsum_bench import hookimpl

        class Nameless:
            {line or "pass"}

        @hookimpl
        def dsum_register_metrics(register):
            register(Nameless)
    """
    install("dsum-bench-testnameless", source)
    plugins = Plugins()
    plugins.collect_all()
    assert plugins.problems == [
        "plugin dsum-bench-testnameless: dsum-bench-testnameless registers Nameless among metrics without a name"
    ]


# -- single files -----------------------------------------------------------------------------------------------


def test_a_single_file_registers_an_adapter_that_a_registry_can_use(tmp_path: Path) -> None:
    file = tmp_path / "dsum_plugin.py"
    plugins = file_plugin(file, adapter("mine"))
    registry = tmp_path / "registry.toml"
    registry.write_text(
        'plugins = ["dsum_plugin.py"]\n[models.first-five]\nadapter = "mine"\nengine = "control"\n', encoding="utf-8"
    )
    assert plugin_files([registry], tmp_path / "nowhere") == (str(file),)
    assert load([registry], plugins, tmp_path / "nowhere").model("first-five").adapter == "mine"
    assert plugins.info[str(file)].registers["adapters"] == ["mine"]
    assert plugins.problems == []


def test_a_broken_single_file_is_skipped_and_named(tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    plugins = file_plugin(file, "1 / 0")
    plugins.collect_all()
    assert plugins.problems == [f"plugin {file}: not loaded: ZeroDivisionError: division by zero"]


def test_two_files_of_one_name_are_two_plugins(tmp_path: Path) -> None:
    files = []
    for name in ("one", "two"):
        path = tmp_path / name / "dsum_plugin.py"
        path.parent.mkdir()
        path.write_text(textwrap.dedent(adapter(name)), encoding="utf-8")
        files.append(str(path))
    plugins = Plugins(PluginSettings(packages=(), files=tuple(files)))
    assert {"one", "two"} <= set(plugins.adapters)


# -- models shipped by packages ---------------------------------------------------------------------------------


def test_a_package_ships_models_and_a_registry_file_overrides_them(install: Install, tmp_path: Path) -> None:
    theirs, kobart = 'ModelSpec("theirs", "chat", source=("o/theirs",))', 'ModelSpec("kobart", "chat")'
    install("dsum-bench-testzoo", models(theirs, kobart))
    plugins = Plugins()
    found = load(plugins=plugins, working_directory=tmp_path)
    assert (found.model("theirs").origin, found.model("theirs").source) == ("dsum-bench-testzoo", ("o/theirs",))
    assert found.model("kobart").origin == "dsum-bench"  # the shipped file comes after packages
    mine = tmp_path / "mine.toml"
    mine.write_text('[models.theirs]\nsource = "o/mine"\nadapter = "chat"\n', encoding="utf-8")
    assert load([mine], plugins, tmp_path).model("theirs").origin == str(mine)


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        (
            'ModelSpec("bad", "chatt", source=("o/x",))',
            "model 'bad': key 'adapter': unknown adapter 'chatt'; did you mean",
        ),
        ('ModelSpec("Bad", "chat", source=("o/x",))', "model 'Bad': a valid name has lower-case letters, digits and"),
        ('ModelSpec("bad", "chat")', "model 'bad': key 'source' is missing: adapter 'chat' works with a checkpoint"),
        (
            'ModelSpec("bad", "lead", engine="control", options={"turn": 1})',
            "model 'bad', [options]: unknown key 'turn'",
        ),
        ('ModelSpec("bad", "chat", source=("o/x",), allow=("all",))', "model 'bad': key 'allow' may hold pickle and"),
        ('type("Odd", (), {"name": "odd"})()', "model 'odd': an object of type Odd was registered, not a ModelSpec"),
    ],
)
def test_a_wrong_model_of_a_package_is_left_out_and_named(
    install: Install, tmp_path: Path, made: str, problem: str
) -> None:
    install("dsum-bench-testzoo", models(made))
    plugins = Plugins()
    found = load(plugins=plugins, working_directory=tmp_path)
    assert not {"bad", "Bad", "odd"} & set(found.models) and "kobart" in found.models
    (said,) = plugins.problems
    assert said.startswith(f"plugin dsum-bench-testzoo: left out {problem}")


def test_a_hook_that_does_not_exist_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "typo.py"
    file.write_text("import dsum_bench\n@dsum_bench.hookimpl\ndef dsum_register_adapter(register):\n    pass\n")
    (problem,) = Plugins(PluginSettings((), (str(file),))).problems
    assert "implements unknown hook 'dsum_register_adapter'; did you mean 'dsum_register_adapters'" in problem


def test_a_plugin_file_has_one_module_name_in_every_process(tmp_path: Path) -> None:
    """Or what one process pickles, a class of the plugin say, could not be read in another."""
    file = tmp_path / "mine.py"
    file.write_text("print(__name__)\n")
    script = f"from dsum_bench.plugins import Plugins, PluginSettings; Plugins(PluginSettings((), ({str(file)!r},)))"
    said = set()
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", script]
        said.add(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stderr)
    assert len(said) == 1 and said.pop().startswith("dsum_plugin_")


def test_a_plugin_file_that_is_not_there_is_a_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"plugin file .*nothing\.py does not exist"):
        Plugins(PluginSettings((), (str(tmp_path / "nothing.py"),)))


def test_a_plugin_that_exits_is_skipped_and_every_problem_is_one_line(tmp_path: Path) -> None:
    leaves, two = tmp_path / "leaves.py", tmp_path / "two.py"
    leaves.write_text("raise SystemExit(3)\n")
    two.write_text(
        "import dsum_bench\n"
        "@dsum_bench.hookimpl\ndef dsum_register_metrics(register):\n    raise OSError('one\\ntwo')\n"
        "@dsum_bench.hookimpl\ndef dsum_register_engines(register):\n    raise KeyError('three')\n"
    )
    plugins = Plugins(PluginSettings((), (str(leaves), str(two))))
    plugins.collect_all()
    first, second = plugins.problems
    assert "leaves.py: not loaded: RuntimeError: it called sys.exit(3)" in first
    assert "one" in second and "three" in second and "\n" not in second


@pytest.mark.parametrize(
    ("fault", "told"),
    [("import nothing_of_this_name", "ModuleNotFoundError"), ("raise SystemExit(2)", r"it called sys.exit\(2\)")],
)
def test_a_metric_or_reader_that_cannot_start_is_reported_in_a_sentence(fault: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    file.write_text(
        "import dsum_bench\n"
        "class Broken(dsum_bench.Metric):\n"
        "    name, measures, needs_tokenizer, signature = 'broken', ('m',), False, 'broken:1'\n"
        f"    def __init__(self, tokenizer):\n        {fault}\n"
        "    def score(self, summary, sample):\n        return {}\n"
        "class Reader(dsum_bench.DatasetReader):\n"
        "    name = 'broken'\n"
        "    def splits(self):\n        return ['dev']\n"
        f"    def rows(self, split):\n        {fault}\n"
        "@dsum_bench.hookimpl\ndef dsum_register_metrics(register):\n    register(Broken)\n"
        "@dsum_bench.hookimpl\ndef dsum_register_datasets(register):\n    register(Reader)\n"
    )
    plugins = Plugins(PluginSettings((), (str(file),)))
    with pytest.raises(UserError, match=rf"metric 'broken' cannot be opened: .*{told}"):
        build(plugins, "broken")
    with pytest.raises(UserError, match=rf"dataset 'd', split 'dev': reader 'broken' failed: .*{told}"):
        load_dataset(DatasetSpec("d", "broken", "x"), plugins, "dev")
