"""The documentation names everything a user can type or a plugin can implement, and what it shows is true."""

from __future__ import annotations

import csv
import inspect
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from dsum_bench import hookspecs
from dsum_bench.cli import COMMANDS
from dsum_bench.decoding.base import Batch
from dsum_bench.plugins import Plugins, PluginSettings
from dsum_bench.spec import DatasetSpec, DecodingSpec, Example, ModelSpec, PromptSpec, RecipeSpec, Sample

ROOT = Path(__file__).parents[1]
READMES = ("README.md", "README.ko.md")
PAGES = (
    "docs/explanation/protocol.md",
    "docs/reference/registry.md",
    "docs/reference/plugins.md",
    "docs/how-to/finetune.md",
    "docs/reference/checks/README.md",
)
ALL = tuple(str(page.relative_to(ROOT)) for page in sorted((ROOT / "docs").rglob("*.md")))
KINDS = ("adapters", "engines", "decodings", "datasets", "metrics", "tokenizers", "checks", "executors", "trainers")
SET_FOR_THE_USER = {"name", "origin"}
FENCE = re.compile(r"^(?P<fence>```+)(?P<language>\w*)\n(?P<code>.*?)^(?P=fence)$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def prose(page: str) -> str:
    """A page without its code blocks, in which ``#`` begins no heading and brackets are no links."""
    return FENCE.sub("", read(page))


def headings(page: str) -> list[tuple[int, str]]:
    return [(len(m[1]), m[2].strip()) for m in re.finditer(r"^(#+) (.+)$", prose(page), re.MULTILINE)]


def sections(page: str) -> Iterator[tuple[str, str]]:
    """Heading and text of every section; a subsection is a section of its own."""
    parts = re.split(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    yield from zip(parts[1::2], parts[2::2], strict=True)


def spans(text: str) -> set[str]:
    """What stands between backticks."""
    return set(re.findall(r"`([^`\n]+)`", text))


@pytest.fixture(scope="module")
def builtin() -> Plugins:
    return Plugins(PluginSettings(()))


# -- hooks ----------------------------------------------------------------------------------------------------


def hooks() -> list[str]:
    return sorted(n for n, f in vars(hookspecs).items() if n.startswith("dsum_") and inspect.isfunction(f))


@pytest.mark.parametrize("hook", hooks())
def test_every_hook_has_a_heading_with_its_exact_arguments(hook: str) -> None:
    arguments = ", ".join(inspect.signature(getattr(hookspecs, hook)).parameters)
    assert (3, f"`{hook}({arguments})`") in headings("docs/reference/plugins.md")


def test_no_heading_names_a_hook_that_is_not_there() -> None:
    named = {m[1] for _, text in headings("docs/reference/plugins.md") if (m := re.match(r"`(dsum_\w+)\(", text))}
    assert named == set(hooks())


# -- keys of a registry file ----------------------------------------------------------------------------------


def default(field: Field[Any]) -> str:
    """A field's default as the tables write it."""
    if field.default is MISSING and field.default_factory is MISSING:
        return "required"
    value = field.default_factory() if field.default_factory is not MISSING else field.default
    return "-" if value is None else f"`{json.dumps(value)}`"


def documented(*titles: str) -> dict[str, str]:
    """Key -> default, of the tables in the sections with these headings."""
    found: dict[str, str] = {}
    for title, text in sections("docs/reference/registry.md"):
        if title in titles:
            rows = (line.split("|") for line in text.splitlines() if line.startswith("| `"))
            found |= {row[1].strip().strip("`"): row[3].strip() for row in rows}
    return found


def keys(cls: type, *without: str) -> dict[str, str]:
    return {f.name: default(f) for f in fields(cls) if f.name not in {*SET_FOR_THE_USER, *without}}


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("`[models.NAME]`", keys(ModelSpec)),
        ("`[datasets.NAME]`", keys(DatasetSpec)),
        # The parameters of a decoding are keys beside its strategy, not a table of their own.
        ("`[decodings.NAME]`", keys(DecodingSpec, "params")),
        ("`[recipes.NAME]`", keys(RecipeSpec, "params")),
        ("`[prompts.NAME]`", keys(PromptSpec) | keys(Example)),
        ("`plugins`", {"plugins": "`[]`"}),
    ],
)
def test_every_key_of_a_table_is_documented_with_its_default(title: str, expected: dict[str, str]) -> None:
    assert documented(title) == expected


def about(word: str, name: str) -> list[str]:
    """Headings such as ``Options of `chat`, `qwen```, of those that name it."""
    return [t for t, _ in sections("docs/reference/registry.md") if t.startswith(word) and f"`{name}`" in t]


def test_every_option_of_every_adapter_is_documented_with_its_default(builtin: Plugins) -> None:
    for name, adapter in builtin.adapters.items():
        assert documented(*about("Options of", name)) == keys(adapter.Options), name


def test_every_parameter_of_every_decoding_is_documented_with_its_default(builtin: Plugins) -> None:
    for name, decoding in builtin.decodings.items():
        assert documented(*about("Parameters of", name)) == keys(decoding.Params), name


def test_every_parameter_of_every_trainer_is_documented_with_its_default(builtin: Plugins) -> None:
    for name, trainer in builtin.trainers.items():
        assert documented(*about("Settings of", name)) == keys(trainer.Params), name


def test_fields_that_are_no_keys_are_named_as_such() -> None:
    told = dict(sections("docs/reference/registry.md"))
    for cls in (ModelSpec, DatasetSpec, PromptSpec, DecodingSpec):
        assert {f.name for f in fields(cls)} >= SET_FOR_THE_USER
    for table in ("models", "datasets", "prompts", "decodings"):
        assert spans(told[f"`[{table}.NAME]`"]) >= SET_FOR_THE_USER
    assert "params" in spans(told["`[decodings.NAME]`"])


def test_the_error_shown_is_the_error_given(tmp_path: Path) -> None:
    from dsum_bench.errors import UserError
    from dsum_bench.registry import load

    (text,) = [
        t for t in re.split(r"^## ", read("docs/reference/registry.md"), flags=re.MULTILINE) if t.startswith("Errors")
    ]
    file = tmp_path / "registry.toml"
    file.write_text(block(text, "toml"), encoding="utf-8")
    shown = re.search(r"^    Error: (.+)$", text, re.MULTILINE)
    with pytest.raises(UserError) as error:
        load([file], working_directory=tmp_path / "elsewhere")
    assert shown and shown[1] == str(error.value).replace(str(file), "registry.toml")


# -- names ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_builtin_plugin_is_named(builtin: Plugins, kind: str) -> None:
    known = set(getattr(builtin, kind))
    assert known
    (listed,) = [
        text for title, text in sections("docs/reference/plugins.md") if title == f"`dsum_register_{kind}(register)`"
    ]
    assert known == spans(listed.partition("Built in:")[2])


def test_every_check_has_a_page_and_a_row(builtin: Plugins) -> None:
    pages = {p.stem for p in (ROOT / "docs" / "reference" / "checks").glob("*.md")} - {"README"}
    assert pages == set(builtin.checks)
    index = read("docs/reference/checks/README.md")
    for name, check in builtin.checks.items():
        page = read(f"docs/reference/checks/{name}.md")
        assert page.startswith(f"# {name}\n\nMark `{check.mark}`. Level: ") and check.level in page.splitlines()[2]
        for part in ("What it means", "How it is found", "Why it matters", "What to do"):
            assert f"**{part}.** " in page
        assert f"| `{check.mark}` | [{name}]({name}.md) |" in index


def test_every_metric_has_a_page_that_names_its_measures(builtin: Plugins) -> None:
    assert {p.stem for p in (ROOT / "docs" / "reference" / "metrics").glob("*.md")} == set(builtin.metrics)
    for name, metric in builtin.metrics.items():
        page = read(f"docs/reference/metrics/{name}.md")
        assert {row[0] for row in re.findall(r"^\| `(\w+)` (\|)", page, re.MULTILINE)} == set(metric.measures)
        for part in ("Formula", "Source", "What to do"):
            assert f"**{part}.** " in page


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_shown(command: str) -> None:
    assert re.search(rf"dsum-bench {command}\b", "".join(read(p) for p in (*PAGES, "README.md")))


def test_every_command_shown_exists() -> None:
    shown = {name for p in (*PAGES, *READMES) for name in re.findall(r"(?:^ {4}|`)dsum-bench ([a-z]+)", read(p), re.M)}
    assert shown <= set(COMMANDS)


# -- links ----------------------------------------------------------------------------------------------------


def anchor(heading: str) -> str:
    """The fragment that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", [*READMES, *ALL])
def test_relative_links_resolve(page: str) -> None:
    links = [link for link in LINK.findall(prose(page)) if not link.startswith(("https://", "http://"))]
    assert links or page not in PAGES
    for link in links:
        path, _, fragment = link.partition("#")
        target = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert target.is_relative_to(ROOT) and target.exists(), link
        if fragment:
            assert fragment in [anchor(h) for _, h in headings(str(target.relative_to(ROOT)))], link


# -- what the pages show --------------------------------------------------------------------------------------


def block(text: str, language: str) -> str:
    """The only code block of a language."""
    (code,) = [m["code"] for m in FENCE.finditer(text) if m["language"] == language]
    return code


def test_the_example_plugin_registers_and_works(tmp_path: Path) -> None:
    file = tmp_path / "speakers.py"
    file.write_text(block(read("docs/reference/plugins.md"), "python"), encoding="utf-8")
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

    shown = tomllib.loads(block(read("docs/reference/plugins.md"), "toml"))
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
    from dsum_bench.registry import load

    metrics = [build_metric(builtin, m.strip("`")) for m in shown_row("mean")]
    assert len(metrics) == 4
    for name in ("constant-ko", "lead-3", "longest-3"):
        model = load(plugins=builtin, working_directory=ROOT).model(name)
        adapter = build_adapter(builtin, AdapterContext(model, None, "template", "ko"))
        answers = [(adapter.prompt(s).text, s) for s in references]
        means = [sum(m.score(text, s)["mean"] for text, s in answers) / len(answers) for m in metrics]
        assert shown_row(f"`{name}`") == [f"{mean:.2f}" for mean in means], name


# The leaderboard is pasted in last, from a real `make demo`.
@pytest.mark.parametrize("page", READMES)
def test_no_placeholder_is_left(page: str) -> None:
    assert "@@" not in read(page)


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    import subprocess
    import sys

    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", str(ROOT / "docs"), "site"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    for page in ALL:
        made = tmp_path / "site" / Path(page).relative_to("docs").with_suffix(".html")
        assert made.is_file(), page


def wrong_registry(text: str, folder: Path) -> str:
    """What is wrong with a registry; '' when nothing is."""
    from dsum_bench.errors import UserError
    from dsum_bench.registry import load

    file = folder / "registry.toml"
    file.write_text(text, encoding="utf-8")
    try:
        load([file], Plugins(PluginSettings(packages=())))
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("page", ["own-data", "own-model"])
def test_the_registries_of_the_guides_are_valid(page: str, tmp_path: Path) -> None:
    blocks = [m["code"] for m in FENCE.finditer(read(f"docs/how-to/{page}.md")) if m["language"] == "toml"]
    assert blocks and [wrong_registry(text, tmp_path) for text in blocks] == [""] * len(blocks)
    assert "unknown key 'sourc'" in wrong_registry(
        blocks[0].replace("path =", "sourc =").replace("source", "sourc"), tmp_path
    )
