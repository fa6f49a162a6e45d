"""Registry files: what is read, who overrides whom, and every typo named with file, line and nearest name."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dsum_bench.errors import UserError
from dsum_bench.plugins import Plugins
from dsum_bench.registry.load import Registry, load, plugin_files, shipped_registry
from dsum_bench.spec import Example, PluginSettings

PLUGINS = Plugins(PluginSettings(packages=()))
ROOT = Path(__file__).parents[2]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def read(text: str, here: Path, plugins: Plugins | None = PLUGINS) -> Registry:
    return load([write(here / "mine.toml", text)], plugins)


def refused(text: str, here: Path, plugins: Plugins | None = PLUGINS) -> str:
    with pytest.raises(UserError) as error:
        read(text, here, plugins)
    return str(error.value)


# -- what is read -----------------------------------------------------------------------------------------------


def test_every_key_of_a_model(here: Path) -> None:
    text = """
        [models."mine-1.3b"]
        source = ["org/part-one", "org/part-two"]
        adapter = "encoder_decoder"
        params = "1.3B"
        engine = "huggingface"
        revision = "abc"
        sha256 = "%s"
        dtype = "bfloat16"
        quantization = "nf4"
        decoding = "beam4"
        prompt = "ko-default"
        max_prompt_tokens = 900
        languages = ["ko", "en"]
        allow = ["pickle", "remote-code"]
        options = { prefix = "요약: " }
        license = "MIT"
        note = "n"
    """
    model = read(text % ("0a" * 32), here).model("mine-1.3b")
    assert (model.source, model.params, model.dtype) == (("org/part-one", "org/part-two"), 1_300_000_000, "bfloat16")
    assert (model.quantization, model.decoding, model.prompt) == ("nf4", "beam4", "ko-default")
    assert (model.languages, model.allow) == (("ko", "en"), ("pickle", "remote-code"))
    assert (model.options, model.max_prompt_tokens) == ({"prefix": "요약: "}, 900)
    assert (model.revision, model.license, model.note, model.sha256) == ("abc", "MIT", "n", "0a" * 32)
    assert (model.name, model.origin) == ("mine-1.3b", str(here / "mine.toml"))


@pytest.mark.parametrize(
    ("written", "weights"),
    [
        ('"3.21B"', 3_210_000_000),
        ('"135M"', 135_000_000),
        ('"4.1b"', 4_100_000_000),
        ('"8.03 B"', 8_030_000_000),
        ('"12K"', 12_000),
        ('"1T"', 10**12),
        ('"77"', 77),
        ("124000000", 124_000_000),
        ("0", 0),
    ],
)
def test_parameter_counts(here: Path, written: str, weights: int) -> None:
    text = f'[models.a]\nsource = "o/a"\nadapter = "chat"\nparams = {written}\n'
    assert read(text, here).models["a"].params == weights


def test_prompts_decodings_and_datasets(here: Path) -> None:
    text = """
        [prompts.short]
        user = "{dialogue} 요약"
        [[prompts.short.examples]]
        dialogue = "a"
        summary = "b"
        [[prompts.short.examples]]
        dialogue = "c"
        summary = "d"
        [decodings.hot]
        strategy = "sampling"
        temperature = 2
        top_k = 3
        note = "n"
        [datasets.d]
        format = "csv"
        path = "data/{split}.csv"
        columns = { id = "fname", summary = ["s1", "s2"] }
        encoding = "cp949"
    """
    found = read(text, here)
    assert found.prompt("short").examples == (Example("a", "b"), Example("c", "d"))
    assert (found.prompt("short").user, found.prompt("short").language) == ("{dialogue} 요약", "ko")
    hot = found.decoding("hot")
    assert (hot.strategy, hot.params, hot.note) == ("sampling", {"temperature": 2.0, "top_k": 3}, "n")
    assert isinstance(hot.params["temperature"], float)
    assert found.dataset("d").columns == {"id": "fname", "summary": ("s1", "s2")}
    assert found.dataset("d").path == str(here / "data" / "{split}.csv")


def test_names_that_are_not_there_name_the_nearest(here: Path) -> None:
    found = load()
    for pick, name, message in (
        (found.model, "kobrt", "unknown model 'kobrt'; did you mean 'kobart'"),
        (found.dataset, "sample-ko", "unknown dataset 'sample-ko'; did you mean 'samples-ko'"),
        (found.prompt, "kr-default", "unknown prompt 'kr-default'; did you mean "),
        (found.decoding, "beam", "unknown decoding 'beam'; did you mean 'beam4'?"),
    ):
        with pytest.raises(UserError) as error:
            pick(name)
        assert str(error.value).startswith(message)


# -- order and origin -------------------------------------------------------------------------------------------


def entry(source: str, note: str = "") -> str:
    return f'[models.kobart]\nsource = "{source}"\nadapter = "encoder_decoder"\nnote = "{note}"\n'


def test_later_files_replace_whole_entries(here: Path) -> None:
    shipped = load().model("kobart")
    assert shipped.origin == "dsum-bench" and shipped.params == 124_000_000
    write(here / "registry.toml", entry("o/working"))
    one, two = write(here / "one.toml", entry("o/one")), write(here / "two.toml", entry("o/two", "n"))
    assert load().model("kobart").source == ("o/working",)
    assert load([one]).model("kobart").source == ("o/one",)
    assert load([one, two]).model("kobart").source == ("o/two",)
    last = load([two, one]).model("kobart")
    assert (last.source, last.note, last.params, last.decoding, last.origin) == (
        ("o/one",),
        "",
        None,
        "greedy",
        str(one),
    )
    assert load([one]).model("kot5").origin == "dsum-bench"


def test_the_working_directory_can_be_named(here: Path, tmp_path: Path) -> None:
    write(here / "registry.toml", entry("o/here"))
    other = write(tmp_path / "other" / "registry.toml", entry("o/other"))
    assert load(working_directory=other.parent).model("kobart").source == ("o/other",)


def test_the_shipped_file_is_not_read_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shipped_registry().parent)
    assert {m.origin for m in load().models.values()} == {"dsum-bench"}


def test_the_shipped_file_of_a_checkout_is_the_one_at_its_root() -> None:
    assert shipped_registry() == ROOT / "registry.toml"


def test_an_installed_package_finds_the_file_inside_itself(tmp_path: Path) -> None:
    package = tmp_path / "dsum_bench"
    shutil.copytree(ROOT / "dsum_bench", package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "registry.toml", package / "registry.toml")
    code = "from dsum_bench.registry.load import load, shipped_registry; print(shipped_registry(), len(load().models))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(package / "registry.toml"), str(len(load().models))]


def test_a_registry_builds_without_plugins_and_checks_none_of_their_names(here: Path) -> None:
    text = '[models.a]\nsource = "o/a"\nadapter = "unheard-of"\n'
    assert read(text, here, plugins=None).model("a").adapter == "unheard-of"


# -- paths ------------------------------------------------------------------------------------------------------


def test_relative_paths_count_from_the_file_that_names_them(here: Path, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    (folder / "checkpoints" / "there").mkdir(parents=True)
    file = write(
        folder / "r.toml",
        "".join(
            f'[models.m{number}]\nadapter = "chat"\nsource = "{source}"\n'
            for number, source in enumerate(
                ["./x", "../x", "checkpoints/there", "checkpoints/missing", "/abs/x", "~/x", "pypi:p==1#./f"]
            )
        )
        + '[datasets.a]\nformat = "csv"\npath = "../d/{split}.csv"\n'
        + '[datasets.b]\nformat = "embedded"\npath = "package.inner:d/{split}.jsonl"\n',
    )
    found = load([Path("..") / "elsewhere" / file.name])
    assert [found.models[f"m{n}"].source[0] for n in range(7)] == [
        str(folder / "x"),
        str(tmp_path / "x"),
        str(folder / "checkpoints" / "there"),
        "checkpoints/missing",
        "/abs/x",
        str(Path.home() / "x"),
        "pypi:p==1#./f",
    ]
    assert found.dataset("a").path == str(tmp_path / "d" / "{split}.csv")
    assert found.dataset("b").path == "package.inner:d/{split}.jsonl"


def test_plugin_files_come_from_user_files_only_and_before_anything_else_is_checked(here: Path, tmp_path: Path) -> None:
    write(here / "registry.toml", 'plugins = ["dsum_plugin.py"]\n[models.a]\nadapter = 7\n')
    other = write(tmp_path / "o" / "r.toml", 'plugins = ["../p.py", "q.py"]\n')
    assert plugin_files() == (str(here / "dsum_plugin.py"),)
    assert plugin_files([other], tmp_path) == (str(tmp_path / "p.py"), str(tmp_path / "o" / "q.py"))
    assert plugin_files([], tmp_path) == ()


def test_a_plugin_file_that_nobody_names_does_not_run(here: Path) -> None:
    write(here / "dsum_plugin.py", "raise SystemExit('ran')")
    write(here / "registry.toml", "")
    assert plugin_files() == ()


# -- typos ------------------------------------------------------------------------------------------------------

MODEL = '[models.a]\nsource = "o/a"\nadapter = "chat"\n'
PROMPT = '[prompts.p]\nuser = "{dialogue}"\n'

TYPOS = [
    # top level
    ("\n\n[model.a]\n", 3, "", "unknown table 'model'; did you mean 'models'?"),
    ("\nplugin = []\n", 2, "", "unknown table 'plugin'; did you mean 'plugins'?"),
    ("\nmodels = 3\n", 2, "", "'models' must hold tables: write [models.NAME]"),
    ("[models]\n\nkobart = 3\n", 3, "models.kobart", "'kobart' must be a table with keys of its own, not 3"),
    ('[models.Big]\nadapter = "chat"\n', 1, "models.Big", "'Big' is not a valid name: use lower-case letters, digits"),
    (
        '[models.solar-10.7b]\nadapter = "chat"\n',
        1,
        "models.solar-10",
        "'solar-10' has no keys; a name with a dot needs quotes: \"solar-10.7b\"",
    ),
    # models
    (MODEL + "\nadaptor = 1\n", 5, "models.a", "unknown key 'adaptor'; did you mean 'adapter'?"),
    (MODEL + "origin = 'x'\n", 4, "models.a", "unknown key 'origin'"),
    ('[models.a]\nsource = "o/a"\n', 1, "models.a", "key 'adapter' is missing"),
    (MODEL + "revision = 7\n", 4, "models.a", "key 'revision' must be a string, not 7"),
    (MODEL + "max_prompt_tokens = true\n", 4, "models.a", "key 'max_prompt_tokens' must be an integer, not true"),
    (MODEL + "prices = [2.5]\n", 4, "models.a", "key 'prices' must be two numbers"),
    (MODEL + "max_prompt_tokens = 0\n", 4, "models.a", "key 'max_prompt_tokens' must be at least 1, not 0"),
    (MODEL + 'languages = "ko"\n', 4, "models.a", "key 'languages' must be a list of strings, not \"ko\""),
    (MODEL + 'languages = [\n"ko",\n3]\n', 6, "models.a", "key 'languages.1' must be a string, not 3"),
    (
        MODEL + 'quantization = "nf5"\n',
        4,
        "models.a",
        'key \'quantization\' must be "auto" or "none" or "nf4" or "int8", not "nf5"; did you mean \'nf4\'?',
    ),
    (MODEL + 'allow = ["pickles"]\n', 4, "models.a", "key 'allow' may hold pickle and remote-code, not 'pickles'; did"),
    (MODEL + 'sha256 = "abc"\n', 4, "models.a", "key 'sha256' must be 64 digits 0-9 a-f"),
    (MODEL + "params = 3.21\n", 4, "models.a", 'key \'params\' must be a count such as "3.21B" or "135M", not 3.21'),
    (MODEL + 'params = "3,2B"\n', 4, "models.a", "key 'params' must be a count such as"),
    (MODEL + "params = -1\n", 4, "models.a", "key 'params' must be a count such as"),
    (MODEL + "options = 3\n", 4, "models.a", "key 'options' must be a table, not 3"),
    ('[models.a]\nsource = "o/a"\n\nadapter = "chatt"\n', 4, "models.a", "key 'adapter': unknown adapter 'chatt'; did"),
    (
        MODEL + 'engine = "huggingfaces"\n',
        4,
        "models.a",
        "key 'engine': unknown engine 'huggingfaces'; did you mean 'hug",
    ),
    (MODEL + 'decoding = "beam5"\n', 4, "models.a", "key 'decoding': unknown decoding 'beam5'; did you mean 'beam4'?"),
    (MODEL + 'prompt = "ko-defalt"\n', 4, "models.a", "key 'prompt': unknown prompt 'ko-defalt'; did you mean 'ko-def"),
    (
        '[models.a]\nadapter = "chat"\n',
        1,
        "models.a",
        "key 'source' is missing: adapter 'chat' works with a checkpoint",
    ),
    (
        '[models.a]\nadapter = "lead"\n',
        2,
        "models.a",
        "adapter 'lead' works without a model: write engine = \"control\"",
    ),
    (
        '[models.a]\nadapter = "lead"\nengine = "control"\noptions = { turn = 3 }\n',
        4,
        "models.a.options",
        "unknown key 'turn'; did you mean 'turns'?",
    ),
    (
        '[models.a]\nadapter = "lead"\nengine = "control"\n[models.a.options]\n\nturns = "3"\n',
        6,
        "models.a.options",
        "key 'turns' must be an integer, not \"3\"",
    ),
    # datasets
    ('[datasets.d]\nformat = "csv"\n', 1, "datasets.d", "key 'path' is missing"),
    ('[datasets.d]\nformat = "cvs"\npath = "x"\n', 2, "datasets.d", "key 'format': unknown dataset format 'cvs'; did"),
    (
        '[datasets.d]\nformat = "csv"\npath = "x"\ncolumns = { dialog = "x" }\n',
        4,
        "datasets.d",
        "unknown key 'columns.dialog'; did you mean 'dialogue'?",
    ),
    (
        '[datasets.d]\nformat = "csv"\npath = "x"\n[datasets.d.columns]\nid = ["a", "b"]\n',
        5,
        "datasets.d",
        "key 'columns.id' must be one column; only summary may have several",
    ),
    (
        '[datasets.d]\nformat = "csv"\npath = "x"\ncolumns = { id = 3 }\n',
        4,
        "datasets.d",
        "key 'columns.id' must be a string or a list of strings, not 3",
    ),
    (
        '[datasets.d]\nformat = "csv"\npath = "x"\ncolumns.summary = []\n',
        4,
        "datasets.d",
        "key 'columns.summary' names no column",
    ),
    # prompts
    (
        '[prompts.p]\n\nuser = "요약"\n',
        3,
        "prompts.p",
        "key 'user' has no placeholder {dialogue}",
    ),
    ("[prompts.p]\n\nsystem = 'x'\n", 1, "prompts.p", "key 'user' is missing"),
    (PROMPT + 'systm = "x"\n', 3, "prompts.p", "unknown key 'systm'; did you mean 'system'?"),
    (PROMPT + "examples = 3\n", 3, "prompts.p", "key 'examples' must be a list, not 3"),
    (PROMPT + "examples = [1]\n", 3, "prompts.p", "key 'examples.0' must be a table, not 1"),
    (
        PROMPT + '[[prompts.p.examples]]\ndialogue = "a"\nsummary = "b"\n[[prompts.p.examples]]\ndialogue = "a"\n',
        6,
        "prompts.p.examples",
        "key 'summary' is missing",
    ),
    (
        PROMPT + 'examples = [\n{dialogue = "a", summary = "b"},\n{dialogue = "a", sumary = "b"}]\n',
        5,
        "prompts.p.examples",
        "unknown key 'sumary'; did you mean 'summary'?",
    ),
    # decodings
    ("[decodings.d]\nbeams = 4\n", 1, "decodings.d", "key 'strategy' is missing"),
    ('[decodings.d]\nstrategi = "beam"\n', 1, "decodings.d", "key 'strategy' is missing; did you mean 'strategi'?"),
    ('[decodings.d]\nstrategy = "beams"\n', 2, "decodings.d", "key 'strategy': unknown decoding strategy 'beams'; did"),
    ('[decodings.d]\nstrategy = "beam"\nbeam = 4\n', 3, "decodings.d", "unknown key 'beam'; did you mean 'beams'?"),
    (
        '[decodings.d]\nstrategy = "beam"\nbeams = 4.0\n',
        3,
        "decodings.d",
        "key 'beams' must be an integer, not 4.0",
    ),
    ('[decodings.d]\nstrategy = "beam"\n\nbeams = 1\n', 4, "decodings.d", "beams must be at least 2, not 1"),
    ('[decodings.d]\nstrategy = "sampling"\ntop_p = nan\n', 3, "decodings.d", "key 'top_p' must be a number, not NaN"),
]


@pytest.mark.parametrize(("text", "line", "table", "problem"), TYPOS, ids=[t[3][:50] for t in TYPOS])
def test_a_typo_is_named_with_file_line_and_table(here: Path, text: str, line: int, table: str, problem: str) -> None:
    file = here / "mine.toml"
    inside = f", [{table}]" if table else ""
    assert refused(text, here).startswith(f"{file}, line {line}{inside}: {problem}")


def test_an_error_in_the_last_file_names_that_file(here: Path) -> None:
    first, second = write(here / "one.toml", MODEL), write(here / "two.toml", '[models.a]\nadapter = "chat"\nx = 1\n')
    with pytest.raises(UserError, match=r"two\.toml, line 3, "):
        load([first, second])
    # An entry that another file replaces is not asked whether its names exist.
    write(second, '[models.a]\nsource = "o/a"\nadapter = "unheard-of"\n')
    assert load([second, first], PLUGINS).model("a").adapter == "chat"


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("a = 1\nb = = 2\n", 2, "not valid TOML: invalid value"),
        ("a = 1\n\n[models.a\n", 3, "not valid TOML: expected ']' at the end of a table declaration"),
        ("a = 1\r\na = 2\r\n", 2, "not valid TOML: cannot overwrite a value"),
        ('a = 1\nb = """x\ny\n', 3, "not valid TOML: unterminated string"),
    ],
)
def test_a_syntax_error_is_named_with_its_line(here: Path, text: str, line: int, problem: str) -> None:
    message = f"{here / 'mine.toml'}, line {line}: {problem}"
    assert refused(text, here) == message
    with pytest.raises(UserError) as error:
        plugin_files([here / "mine.toml"])
    assert str(error.value) == message


def test_files_that_cannot_be_read(here: Path) -> None:
    for path, problem in ((here / "no.toml", "No such file"), (here, "Is a directory")):
        with pytest.raises(UserError, match=f"registry {path} cannot be read: {problem}"):
            load([path])
    korean = here / "korean.toml"
    korean.write_bytes('a = 1\nnote = "요약"\n'.encode("cp949"))
    with pytest.raises(UserError) as error:
        load([korean])
    assert str(error.value) == f"{korean}, line 2: not UTF-8, which TOML requires; save the file as UTF-8"


def test_a_byte_order_mark_and_windows_line_ends_are_fine(here: Path) -> None:
    file = here / "mine.toml"
    file.write_bytes(b"\xef\xbb\xbf" + MODEL.replace("\n", "\r\n").encode())
    assert load([file], PLUGINS).model("a").source == ("o/a",)


@pytest.mark.parametrize("value", ['"x.py"', "[3]", "{}"])
def test_plugins_must_be_a_list_of_files(here: Path, value: str) -> None:
    write(here / "registry.toml", f"\nplugins = {value}\n")
    with pytest.raises(UserError, match=r"registry\.toml, line 2: key 'plugins' must be a list of files, not "):
        plugin_files()
