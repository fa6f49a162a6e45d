"""The documentation names everything a user can type or a plugin can implement, and what it shows is true."""

from __future__ import annotations

import csv
import inspect
import json
import re
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import doc_rules as rules
import pages
import pytest

from dsum_bench import hookspecs
from dsum_bench.cli import COMMANDS
from dsum_bench.decoding.base import Batch
from dsum_bench.plugins import Plugins
from dsum_bench.spec import (
    DatasetSpec,
    DecodingSpec,
    Example,
    ModelSpec,
    PluginSettings,
    PostprocessSpec,
    PromptSpec,
    RecipeSpec,
    Sample,
)

ROOT = Path(__file__).parents[2]
READMES = ("README.md", "README.ko.md")
ALL = tuple(str(page.relative_to(ROOT)) for page in sorted((ROOT / "docs").rglob("*.md")))
OTHERS = (
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "benchmarks/README.md",
    *(str(p.relative_to(ROOT)) for p in sorted(ROOT.glob("plugins/*/README.md"))),
)
KINDS = (
    "adapters", "engines", "decodings", "datasets", "metrics", "tokenizers", "postprocessors", "checks", "executors",
    "trainers",
)  # fmt: skip
SET_FOR_THE_USER = {"name", "origin"}
OF_MODELS = {"parts"}
PLUGINS_PAGE, REGISTRY_PAGE = "docs/reference/plugins.md", "docs/reference/registry.md"


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def without(page: str, row: str) -> str:
    """A page that has lost the one line that begins so."""
    lines = read(page).splitlines(keepends=True)
    assert sum(line.startswith(row) for line in lines) == 1, row
    return "".join(line for line in lines if not line.startswith(row))


@pytest.fixture(scope="module")
def builtin() -> Plugins:
    return Plugins(PluginSettings(()))


# -- hooks ----------------------------------------------------------------------------------------------------


def hooks() -> dict[str, list[str]]:
    found = {n: f for n, f in vars(hookspecs).items() if n.startswith("dsum_") and inspect.isfunction(f)}
    return {name: list(inspect.signature(function).parameters) for name, function in found.items()}


def test_every_hook_has_a_heading_with_its_exact_arguments() -> None:
    assert len(hooks()) > 10
    assert rules.wrong_hooks(read(PLUGINS_PAGE), hooks()) == []


def test_a_hook_without_a_heading_and_one_with_other_arguments_are_reported() -> None:
    page = without(PLUGINS_PAGE, "### `dsum_register_metrics(")
    assert rules.wrong_hooks(page, hooks()) == ["`dsum_register_metrics(register)`"]
    renamed = hooks() | {"dsum_register_metrics": ["registrar"], "dsum_planted": []}
    planted = ["`dsum_planted()`", "`dsum_register_metrics(register)`", "`dsum_register_metrics(registrar)`"]
    assert rules.wrong_hooks(read(PLUGINS_PAGE), renamed) == planted


# -- keys of a registry file ----------------------------------------------------------------------------------


def default(field: Field[Any]) -> str:
    """A field's default as the tables write it."""
    if field.default is MISSING and field.default_factory is MISSING:
        return "required"
    value = field.default_factory() if field.default_factory is not MISSING else field.default
    return "-" if value is None else f"`{json.dumps(value)}`"


def keys(cls: type, *without: str) -> dict[str, str]:
    return {f.name: default(f) for f in fields(cls) if f.name not in {*SET_FOR_THE_USER, *OF_MODELS, *without}}


TABLES = {
    "`[models.NAME]`": keys(ModelSpec),
    "`[datasets.NAME]`": keys(DatasetSpec),
    # The parameters of a decoding are keys beside its strategy, not a table of their own.
    "`[decodings.NAME]`": keys(DecodingSpec, "params"),
    "`[recipes.NAME]`": keys(RecipeSpec, "params"),
    "`[prompts.NAME]`": keys(PromptSpec) | keys(Example),
    "`[postprocess.NAME]`": keys(PostprocessSpec),
    "`plugins`": {"plugins": "`[]`"},
}


@pytest.mark.parametrize("title", TABLES)
def test_every_key_of_a_table_is_documented_with_its_default(title: str) -> None:
    assert rules.wrong_keys(read(REGISTRY_PAGE), [title], TABLES[title]) == []


def test_a_key_left_out_and_a_default_that_is_another_are_reported() -> None:
    page = without(REGISTRY_PAGE, "| `quantization` ").replace("| `language` |", "| `tongue` |")
    assert rules.wrong_keys(page, ["`[models.NAME]`"], TABLES["`[models.NAME]`"]) == ["quantization"]
    assert rules.wrong_keys(page, ["`[datasets.NAME]`"], TABLES["`[datasets.NAME]`"]) == ["language", "tongue"]
    other = TABLES["`[models.NAME]`"] | {"dtype": '`"float8"`'}
    assert rules.wrong_keys(read(REGISTRY_PAGE), ["`[models.NAME]`"], other) == ["dtype"]


def about(word: str, name: str) -> list[str]:
    """Headings such as ``Options of `chat`, `qwen```, of those that name it."""
    return [t for t, _ in rules.sections(read(REGISTRY_PAGE)) if t.startswith(word) and f"`{name}`" in t]


@pytest.mark.parametrize(
    ("word", "kind"), [("Options", "adapters"), ("Parameters", "decodings"), ("Settings", "trainers")]
)
def test_every_setting_of_a_plugin_is_documented_with_its_default(word: str, kind: str, builtin: Plugins) -> None:
    for name, plugin in getattr(builtin, kind).items():
        real = keys(plugin.Options if kind == "adapters" else plugin.Params)
        titles = about(f"{word} of", name)
        assert rules.wrong_keys(read(REGISTRY_PAGE), titles, real) == [], name
        assert rules.wrong_keys(read(REGISTRY_PAGE), titles, real | {"planted": "`1`"}) == ["planted"]


def test_fields_that_are_not_keys_are_named_as_such() -> None:
    told = dict(rules.sections(read(REGISTRY_PAGE)))
    for cls in (ModelSpec, DatasetSpec, PromptSpec, DecodingSpec):
        assert {f.name for f in fields(cls)} >= SET_FOR_THE_USER
    for table in ("models", "datasets", "prompts", "decodings"):
        assert rules.spans(told[f"`[{table}.NAME]`"]) >= SET_FOR_THE_USER
    assert "params" in rules.spans(told["`[decodings.NAME]`"])
    assert {f.name for f in fields(ModelSpec)} >= OF_MODELS <= rules.spans(told["`[models.NAME]`"])


def test_the_error_shown_is_the_error_given(tmp_path: Path) -> None:
    from dsum_bench.errors import UserError
    from dsum_bench.registry.load import load

    (text,) = [
        t for t in re.split(r"^## ", read("docs/reference/registry.md"), flags=re.MULTILINE) if t.startswith("Errors")
    ]
    file = tmp_path / "registry.toml"
    file.write_text(only(text, "toml"), encoding="utf-8")
    shown = re.search(r"^    Error: (.+)$", text, re.MULTILINE)
    with pytest.raises(UserError) as error:
        load([file], working_directory=tmp_path / "elsewhere")
    assert shown and shown[1] == str(error.value).replace(str(file), "registry.toml")


# -- names ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_builtin_plugin_is_named(builtin: Plugins, kind: str) -> None:
    known = set(getattr(builtin, kind))
    assert known
    assert rules.wrong_builtins(read(PLUGINS_PAGE), kind, known) == []
    assert rules.wrong_builtins(read(PLUGINS_PAGE), kind, known | {"planted"}) == ["planted"]


def pages_in(folder: str) -> dict[str, str]:
    found = (ROOT / "docs" / "reference" / folder).glob("*.md")
    return {p.stem: p.read_text(encoding="utf-8") for p in found if p.stem != "README"}


def test_every_check_has_a_page_and_a_row(builtin: Plugins) -> None:
    real = {name: (check.mark, check.level) for name, check in builtin.checks.items()}
    index, pages = "docs/reference/checks/README.md", pages_in("checks")
    assert rules.wrong_checks(pages, read(index), real) == []
    assert rules.wrong_checks(pages, without(index, "| `B` "), real) == ["bos"]
    assert rules.wrong_checks(pages, read(index), real | {"planted": ("Y", "note")}) == ["planted"]
    assert rules.wrong_checks(pages, read(index), real | {"bos": ("B", "note")}) == ["bos"]
    less = pages | {"sum": pages["sum"].replace("**What to do.** ", "")}
    assert rules.wrong_checks(less, read(index), real) == ["sum"]


def test_every_metric_has_a_page_that_names_its_measures(builtin: Plugins) -> None:
    real = {name: metric.measures for name, metric in builtin.metrics.items()}
    pages = pages_in("metrics")
    assert rules.wrong_metrics(pages, real) == []
    assert rules.wrong_metrics(pages, real | {"planted": ()}) == ["planted"]
    assert rules.wrong_metrics(pages, real | {"text": (*real["text"], "planted")}) == ["text.planted"]
    assert rules.wrong_metrics(pages | {"rouge": pages["rouge"].replace("| `rouge2` |", "")}, real) == ["rouge.rouge2"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_shown(command: str) -> None:
    assert re.search(rf"dsum-bench {command}\b", "".join(read(p) for p in ("README.md", *ALL) if "commands" not in p))


# -- links and code -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [*READMES, *ALL, *OTHERS])
def test_relative_links_resolve(page: str) -> None:
    assert rules.dead_links(read(page), ROOT / page, ROOT) == []


def test_dead_links_are_reported() -> None:
    page = ROOT / "docs" / "index.md"
    text = "[a](nowhere.md) [b](index.md#nothing) [c](../../outside.md) [d](index.md) [e](#here)\n# Here\n"
    assert rules.dead_links(text, page, ROOT) == ["nowhere.md", "index.md#nothing", "../../outside.md"]


@pytest.mark.parametrize("page", [*READMES, *ALL, *OTHERS])
def test_code_blocks_are_what_they_say(page: str, tmp_path: Path) -> None:
    def wrong(text: str) -> str:
        problem = "" if typed_in else wrong_registry(text, tmp_path)
        # A page may show a mistake with what is said of it.
        return "" if problem.replace(f"{tmp_path}/", "") in read(page) else problem

    typed_in = Path(page).name in pages.TUTORIALS
    assert rules.wrong_blocks(read(page), tmp_path, wrong) == []
    assert typed_in or not rules.blocks(read(page), "console"), "nobody types this in"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("    dsum-bench screen lead-3 --planted\n", "No such option"),
        ("    KEY=x dsum-bench screen --limit none\n", "Invalid value for '--limit'"),
        ("Use `dsum-bench planted` here.\n", "no such command 'planted'"),
        ("    dsum-bench compare ours\n", "Missing argument 'B'"),
        ("```toml\n[models.x]\nsorce = 'a'\n```\n", "unknown key 'sorce'"),
        ("```toml\n[models\n```\n", "TOML: "),
        ("```python\nfrom dsum_bench import Planted\n```\n", "Python: ImportError"),
        ("```python\ndef f(:\n```\n", "Python: SyntaxError"),
        ('```jsonl\n{"id": "1"}\n```\n', '{"id": "1"}'),
        ("```rust\nfn main() {}\n```\n", "language 'rust'"),
    ],
)
def test_a_wrong_block_is_reported(text: str, problem: str, tmp_path: Path) -> None:
    (found,) = rules.wrong_blocks(text, tmp_path, lambda code: wrong_registry(code, tmp_path))
    assert problem in found


# -- what the pages show --------------------------------------------------------------------------------------


def only(text: str, language: str) -> str:
    """The only code block of a language."""
    (code,) = rules.blocks(text, language)
    return code


def test_the_example_plugin_registers_and_works(tmp_path: Path) -> None:
    file = tmp_path / "speakers.py"
    file.write_text(only(read("docs/reference/plugins.md"), "python"), encoding="utf-8")
    plugins = Plugins(PluginSettings((), (str(file),)))
    plugins.collect_all()
    assert plugins.problems == []
    assert plugins.info[str(file)].registers["metrics"] == ["speakers"]
    metric = plugins.metrics["speakers"](None)
    sample = Sample("1", "", ("#Person1#은 #Person2#에게 묻습니다.", "#Person2#는 답합니다."))
    # By hand: 1 of 2 and 0 of 1; 2 of 2 and 1 of 1; nothing found.
    assert metric.score("#Person1#이 묻습니다.", sample) == {"speaker_recall": 25.0}
    assert metric.score("#Person2#와 #Person1#이 이야기합니다.", sample) == {"speaker_recall": 100.0}
    assert metric.score("", sample) == {"speaker_recall": 0.0}
    assert set(metric.score("", sample)) == set(metric.measures)


def test_the_entry_point_shown_is_that_of_the_example_package() -> None:
    import tomllib

    shown = tomllib.loads(only(read("docs/reference/plugins.md"), "toml"))
    real = tomllib.loads(read("plugins/dsum-bench-exaone/pyproject.toml"))
    assert shown["project"]["entry-points"] == real["project"]["entry-points"]


@pytest.fixture
def references(shared_data: Path) -> list[Sample]:
    with (shared_data / "dialogsum-ko" / "dev.csv").open(encoding="utf-8-sig", newline="") as file:
        return [Sample(r["fname"], r["dialogue"], (r["summary"],)) for r in csv.DictReader(file)]


def shown_row(name: str) -> list[str]:
    """Cells of the one row of protocol.md that begins with a name."""
    (row,) = [line for line in read("docs/explanation/protocol.md").splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in row.strip("|").split("|")][1:]


def test_share_of_references_with_speaker_tags(references: list[Sample]) -> None:
    count = sum(bool(re.search(r"#Person\d+#", s.references[0])) for s in references)
    assert f"{100 * count / len(references):.0f} % of the DialogSum-ko dev" in read("docs/explanation/protocol.md")
    assert f"({count} of {len(references)} match" in read("docs/explanation/protocol.md")


def check_bigrams(name: str, tokenizer: Any, references: list[Sample]) -> None:
    """The two shares of a tokenizer's row, the second found by letting the real rule read every reference."""
    import torch

    from dsum_bench.decoding.strategies import Greedy, GreedyParams
    from dsum_bench.engines.huggingface import HuggingFace
    from dsum_bench.spec import Placement

    engine = HuggingFace(ModelSpec("any", "chat"), Placement("cpu", "float32", "none", ""))
    engine.tokenizer = tokenizer
    rule = Greedy(GreedyParams(no_repeat_ngram=2)).processors(Batch(("any",), 0, engine._tag_ids()))[0]
    scores = torch.zeros(1, len(tokenizer))
    plain = ours = 0
    for sample in references:
        ids = tokenizer(sample.references[0], add_special_tokens=False)["input_ids"]
        bigrams = list(pairwise(ids))
        # Only there can a rule against repeated bigrams forbid anything.
        repeats = [i for i, bigram in enumerate(bigrams) if bigram in bigrams[:i]]
        plain += bool(repeats)
        ours += any(rule(torch.tensor([ids[: i + 1]]), scores)[0, ids[i + 1]].item() != 0 for i in repeats)
    assert shown_row(name) == [f"{100 * n / len(references):.0f} %" for n in (plain, ours)]


def test_bigram_shares_of_kobart(references: list[Sample], kobart_folder: Path) -> None:
    from transformers import AutoTokenizer

    check_bigrams("koBART", AutoTokenizer.from_pretrained(kobart_folder), references)


@pytest.mark.parametrize(("name", "family"), [("Llama 3", "llama3"), ("Qwen3", "qwen3"), ("Gemma 3", "gemma3")])
def test_bigram_shares(name: str, family: str, references: list[Sample], tokenizer: Callable[[str], Any]) -> None:
    check_bigrams(name, tokenizer(family), references)


def test_means_of_the_controls_are_those_shown(references: list[Sample], builtin: Plugins) -> None:
    from dsum_bench.adapters.base import AdapterContext
    from dsum_bench.adapters.build import build as build_adapter
    from dsum_bench.metrics.choose import build as build_metric
    from dsum_bench.registry.load import load

    metrics = [build_metric(builtin, m.strip("`")) for m in shown_row("mean")]
    assert len(metrics) == 4
    for name in ("constant-ko", "lead-3", "longest-3"):
        model = load(plugins=builtin, working_directory=ROOT).model(name)
        adapter = build_adapter(builtin, AdapterContext(model, None, "template", "ko"))
        answers = [(adapter.prompt(s).text, s) for s in references]
        means = [sum(m.score(text, s)["mean"] for text, s in answers) / len(answers) for m in metrics]
        assert shown_row(f"`{name}`") == [f"{mean:.2f}" for mean in means], name


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    import subprocess
    import sys

    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", str(ROOT / "docs"), "site"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for page in ALL:
        made = tmp_path / "site" / Path(page).relative_to("docs").with_suffix(".html")
        assert made.is_file(), page
    for page in ("notebook", "notebook.ko"):
        made = tmp_path / "site" / "tutorial" / f"{page}.html"
        assert "cell_output" in made.read_text(encoding="utf-8"), f"{page}: no outputs"


def wrong_registry(text: str, folder: Path) -> str:
    """What is wrong with a registry; '' when nothing is."""
    from dsum_bench.errors import UserError
    from dsum_bench.registry.load import load

    file = folder / "registry.toml"
    file.write_text(text, encoding="utf-8")
    try:
        load([file], Plugins(PluginSettings(packages=())))
    except UserError as error:
        return str(error)
    return ""
