"""What ``leaderboard`` prints, compared as text at fixed widths."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from printing import lines, run_command
from rich.cells import cell_len
from store_runs import (
    SIGNATURE,
    make_control,
    make_run,
    measures,
    open_store,
    positions,
    scored,
    store_run,
)

from dsum_bench.spec import DecodingSpec, Finding, Placement, PromptSpec
from dsum_bench.store import reader
from dsum_bench.store.ranking import places
from dsum_bench.store.records import Board
from dsum_bench.store.writer import ScoredOutput, Store

MEANS = ("29.00", "22.33", "9.00", "2.33")


# -- the table ------------------------------------------------------------------------------------------------

AT_80 = """\
talks dev, all, 4 dialogues
 # model                 how          R1    R2    RL  mean      95 % s each  GiB
────────────────────────────────────────────────────────────────────────────────
 1 한국어-요약-[red]x[/r zero-shot 43.50 10.88 32.62 29.00 27.6-30.4   0.50 7.00
   ed]
2* constant              control   33.50  8.38 25.12 22.33 21.0-23.7   0.50
 3 smollm2-135m-instruct zero-shot 13.50  3.38 10.12  9.00  7.6-10.4   0.50 0.88
 3 twin                  zero-shot 13.50  3.38 10.12  9.00  7.6-10.4   0.50 21.0
 5 smollm2-135m-instruct zero-shot  3.50  0.88  2.62  2.33   1.0-3.7   0.50
                         raw
rouge@mecab: rouge:v1|tok:mecab|dic:ko-2.1.1|refs:mean|x100
4 dialogues cannot tell runs apart at 5 %, whatever they score; 6 can
* control: runs no model; a model below it does worse than no model

not ranked:
model       how       status          why
────────────────────────────────────────────────────────────────────────────────
qwen3-4b    zero-shot partial, 1 of 4 time budget of 10 min would be exceeded
                                      (64 min projected)
a[/]b       zero-shot failed          no config.json
solar-10.7b zero-shot skipped         no memory [/] in [bold
"""

AT_120 = """\
talks dev, all, 4 dialogues
 #  model                     params  how               R1     R2     RL    sum   mean       95 %  n  s each   GiB
──────────────────────────────────────────────────────────────────────────────────────────────────────────────────
 1  한국어-요약-[red]x[/red]   3.21B  zero-shot      43.50  10.88  32.62  87.00  29.00  27.6-30.4  4    0.50  7.00
2*  constant                          control        33.50   8.38  25.12  67.00  22.33  21.0-23.7  4    0.50
 3  smollm2-135m-instruct       135M  zero-shot      13.50   3.38  10.12  27.00   9.00   7.6-10.4  4    0.50  0.88
 3  twin                       10.7B  zero-shot      13.50   3.38  10.12  27.00   9.00   7.6-10.4  4    0.50  21.0
 5  smollm2-135m-instruct       135M  zero-shot raw   3.50   0.88   2.62   7.00   2.33    1.0-3.7  4    0.50
rouge@mecab: rouge:v1|tok:mecab|dic:ko-2.1.1|refs:mean|x100
4 dialogues cannot tell runs apart at 5 %, whatever they score; 6 can
* control: runs no model; a model below it does worse than no model

not ranked:
model        how        status           why
───────────────────────────────────────────────────────────────────────────────────────────────────
qwen3-4b     zero-shot  partial, 1 of 4  time budget of 10 min would be exceeded (64 min projected)
a[/]b        zero-shot  failed           no config.json
solar-10.7b  zero-shot  skipped          no memory [/] in [bold
"""


def test_table_at_80_columns(results: Path) -> None:
    text = run_command("leaderboard", "--results", str(results))
    assert lines(text) == lines(AT_80)


def test_table_at_120_columns(results: Path) -> None:
    text = run_command("leaderboard", "--results", str(results), width=120)
    assert lines(text) == lines(AT_120)


@pytest.mark.parametrize("width", [40, 60, 72, 80, 99, 100, 120, 200])
def test_no_line_is_wider_than_the_terminal_and_no_number_is_broken(results: Path, width: int) -> None:
    text = run_command("leaderboard", "--results", str(results), width=width)
    assert max(cell_len(line) for line in lines(text)) <= width
    for mean in MEANS:
        assert sum(mean in line.split() for line in lines(text)) >= 1, mean


def test_columns_stay_aligned_beside_wide_characters(results: Path) -> None:
    for width in (80, 120):
        text = lines(run_command("leaderboard", "--results", str(results), width=width))
        rows = [line for line in text if any(f" {mean} " in f"{line} " for mean in MEANS)]
        assert len(rows) == 5
        ends = {cell_len(row[: row.index(mean) + len(mean)]) for row in rows for mean in MEANS if f" {mean} " in row}
        header = next(line for line in text if " mean" in line)
        assert ends == {cell_len(header[: header.index(" mean") + 5])}


def test_a_control_is_marked_without_colour_and_dimmed_with_it(results: Path) -> None:
    plain = run_command("leaderboard", "--results", str(results))
    assert "2* constant" in plain
    env = os.environ | {"FORCE_COLOR": "1", "COLUMNS": "80", "TERM": "xterm-256color"}
    env.pop("NO_COLOR", None)
    command = [sys.executable, "-m", "dsum_bench", "leaderboard", "--results", str(results)]
    cwd = Path(__file__).parents[2]
    coloured = subprocess.run(command, env=env, capture_output=True, text=True, check=True, cwd=cwd).stdout
    (control,) = [line for line in coloured.split("\n") if "constant" in line]
    (model,) = [line for line in coloured.split("\n") if "twin" in line]
    assert "\x1b[2m" in control
    assert "\x1b" not in model


def test_column_that_is_sorted_by_is_never_left_out(results: Path) -> None:
    header = lines(run_command("leaderboard", "--results", str(results), "--sort", "sum", width=60))[1]
    assert " sum" in header
    assert "s each" in lines(run_command("leaderboard", "--results", str(results), "--sort", "seconds", width=60))[1]


def test_quantised_weights_are_named_even_where_all_have_them(tmp_path: Path) -> None:
    with open_store(tmp_path / "dsum.db") as store:
        for name in ("one", "two"):
            store_run(store, make_run(name, placement=Placement("cpu", "float32", "int8", "")), 40.0, kind="model")
    (board,) = json.loads(run_command("leaderboard", "--results", str(tmp_path), "--json"))
    assert [row["how"] for row in board["ranked"]] == ["zero-shot int8 float32"] * 2


def test_rows_say_in_what_they_are_not_like_most(tmp_path: Path) -> None:
    """Before, such rows all said ``zero-shot`` unless they were of one model."""
    greedy, beam = (
        DecodingSpec(n, n, {"max_new_tokens": 128, **more}) for n, more in (("greedy", {}), ("beam4", {"beams": 4}))
    )
    short = DecodingSpec("greedy", "greedy", {"max_new_tokens": 64})
    fewer = DecodingSpec("beam4", "beam", {"beams": 2, "max_new_tokens": 128})
    half = Placement("cuda:1", "bfloat16", "nf4", "")
    other = PromptSpec("mine", "요약 {dialogue}")
    edited = PromptSpec("ko", "다른 요약: {dialogue}", "너는 요약한다.")
    runs = {
        "plain": make_run("plain"), "plain2": make_run("plain2"), "plain3": make_run("plain3", decoding=greedy),
        "short": make_run("short", decoding=short), "beam": make_run("beam", decoding=beam),
        "beam2": make_run("beam2", decoding=beam), "fewer": make_run("fewer", decoding=fewer),
        "half": make_run("half", placement=half), "mine": make_run("mine", prompt=other),
        "edited": make_run("edited", prompt=edited), "named": make_run("named", dataset="calls"),
        "control": make_control("control"),
    }  # fmt: skip
    with open_store(tmp_path / "dsum.db") as store:
        for i, (name, run) in enumerate(runs.items()):
            store_run(store, run, 40.0 - i, kind="control" if name == "control" else "model")
    (board,) = json.loads(run_command("leaderboard", "--results", str(tmp_path), "--json"))
    hows = {row["model"]: row["how"] for row in board["ranked"]}
    digest = hows.pop("edited").removeprefix("zero-shot text ")
    assert re.fullmatch("[0-9a-f]{4}", digest)
    assert hows == {
        "plain": "zero-shot", "plain2": "zero-shot", "plain3": "zero-shot", "short": "zero-shot 64 tokens",
        "beam": "zero-shot beam4", "beam2": "zero-shot beam4", "fewer": "zero-shot beam4 beams=2",
        "half": "zero-shot nf4 bfloat16 cuda", "mine": "zero-shot mine", "named": "zero-shot calls dev",
        "control": "control",
    }  # fmt: skip
    text = lines(run_command("leaderboard", "--results", str(tmp_path)))
    assert text[0] == "talks dev (also calls dev), all, 4 dialogues"
    assert "unless 'how' says otherwise: ko, greedy, 128 tokens, float32, cpu" in text
    assert "  4 short     135M zero-shot 64 tokens  38.50  9.62 28.88 25.67 24.3-27.0   0.50" in text
    half = next(i for i, line in enumerate(text) if line.startswith("  8 half"))
    assert text[half][19:36].split() == ["zero-shot", "nf4"] and text[half + 1].split() == ["bfloat16", "cuda"]


def test_the_name_in_the_title_is_not_repeated(tmp_path: Path) -> None:
    with open_store(tmp_path / "dsum.db") as store:
        store_run(store, make_run("a"), 10.0)
        store_run(store, make_run("b", dataset="calls"), 30.0)
        store_run(store, make_run("c", dataset="calls"), 20.0)
    for names, expected in (((), ["zero-shot calls dev", "zero-shot calls dev", "zero-shot"]),
                            (("--dataset", "calls"), ["zero-shot", "zero-shot", "zero-shot talks dev"])):  # fmt: skip
        (board,) = json.loads(run_command("leaderboard", "--results", str(tmp_path), "--json", *names))
        assert [row["how"] for row in board["ranked"]] == expected


def test_rows_of_one_model_that_differ_in_a_setting_say_so(tmp_path: Path) -> None:
    beam = DecodingSpec("beam4", "beam", {"beams": 4})
    with open_store(tmp_path / "dsum.db") as store:
        store_run(store, make_run("m"), 40.0)
        store_run(store, make_run("m", decoding=beam), 30.0)
        seeds = [store_run(store, make_run("n", seed=seed), 10.0 + seed) for seed in (1, 2)]
        same = [store_run(store, make_run("o", weights=weights), 5.0) for weights in ("first", "second")]
        store.record(make_run("p", decoding=beam), "model", "skipped", "no GPU")
    text = run_command("leaderboard", "--results", str(tmp_path), width=120)
    assert "zero-shot beam4" in text and "zero-shot seed 1" in text and "zero-shot seed 2" in text
    assert all(key in text for key in same) and not any(key in text for key in seeds)
    assert lines(text)[-1].split() == ["p", "zero-shot", "skipped", "no", "GPU"]


def test_samples_that_went_wrong_are_marked(tmp_path: Path) -> None:
    with open_store(tmp_path / "dsum.db") as store:
        key = store.open_run(make_run("m", n=2), "model")
        store.add(key, [scored(0, finish="length"), scored(1, summary="")], positions(2))
        store.close_run(key, "done")
        store.keep_findings(key, "before", [Finding("trimmed", "note", "one", 1, 2, "T")])
        grave = Finding("empty", "error", "one is empty", 1, 2, "E")
        store.keep_findings(key, "after", [Finding("cut", "warning", "one was cut", 1, 2, "C"), grave])
    text = run_command("leaderboard", "--results", str(tmp_path))
    assert "! check findings (details: dsum-bench show RUN): C cut, E empty\n" in text
    assert lines(text)[3].endswith(" EC")  # the gravest first; notes stand in `show` only
    shown = run_command("show", "m", "--results", str(tmp_path))
    assert [line.split()[:2] for line in lines(shown) if "[" in line and "]" in line][-3:] == [
        ["error", "[empty]"],
        ["warning", "[cut]"],
        ["note", "[trimmed]"],
    ]


def test_nothing_ranked(tmp_path: Path) -> None:
    with open_store(tmp_path / "dsum.db") as store:
        store.record(make_run("m"), "model", "skipped", "no GPU")
    text = lines(run_command("leaderboard", "--results", str(tmp_path)))
    assert text[:2] == ["talks dev, all, 4 dialogues", "nothing ranked yet:"]
    assert text[-1].split() == ["m", "zero-shot", "skipped", "no", "GPU"]


def board_of_forty(folder: Path) -> dict[str, str]:
    """``near`` cannot be told from ``best``; ``far`` can. Returns the runs' keys."""
    noise = random.Random(7)
    keys = {}
    with open_store(folder / "dsum.db") as store:
        for name, base in (("best", 50.0), ("near", 49.5), ("far", 30.0)):
            keys[name] = store.open_run(make_run(name, n=40), "model")
            store.add(keys[name], [scored(i, base + noise.gauss(0, 4)) for i in range(40)], positions(40))
            store.close_run(keys[name], "done")
    return keys


def test_blank_lines_and_what_the_board_can_show(tmp_path: Path) -> None:
    board_of_forty(tmp_path)
    text = lines(run_command("leaderboard", "--results", str(tmp_path)))
    assert [line.split()[1] if line else "" for line in text[3:7]] == ["best", "near", "", "far"]
    assert text[8] == "all below a blank line differ from the first of the block above (3 pairs, 5 %)"
    number = r"\d\.\d\d"
    shown = rf"smallest detectable difference \(80 % power\): {number} \({number} to {number} by pair\)"
    assert re.fullmatch(shown, text[9])
    by_name = run_command("leaderboard", "--results", str(tmp_path), "--sort", "model")
    assert "a blank line" not in by_name and "smallest detectable" in by_name
    assert "smallest detectable" in run_command("leaderboard", "--results", str(tmp_path), "--format", "markdown")


def test_json_tells_what_was_tested(tmp_path: Path) -> None:
    board_of_forty(tmp_path)
    for sort in ("mean", "model"):
        (board,) = json.loads(run_command("leaderboard", "--results", str(tmp_path), "--json", "--sort", sort))
        assert {row["model"]: row["group"] for row in board["ranked"]} == {"best": 0, "near": 0, "far": 1}
        tested = board["significance"]
        assert (tested["measure"], tested["n"], tested["runs"], tested["pairs"]) == ("mean", 40, 3, 3)
        assert 0 < tested["smallest"]["least"] <= tested["smallest"]["middle"] <= tested["smallest"]["most"]


# -- order ----------------------------------------------------------------------------------------------------


def one_board(folder: Path, scores: dict[str, dict[str, float]], seconds: dict[str, float] | None = None) -> Board:
    with open_store(folder / "dsum.db") as store:
        for name, values in scores.items():
            key = store.open_run(make_run(name, n=1), "model")
            sample = scored(0, seconds=(seconds or {}).get(name, 1.0))
            store.add(key, [ScoredOutput(sample.output, {SIGNATURE: values})], positions(1))
            store.close_run(key, "done")
    (board,) = reader.boards(folder / "dsum.db")
    return board


def test_equal_scores_share_a_rank_and_the_next_is_skipped(tmp_path: Path) -> None:
    scores = {"a": measures(10), "b": measures(30), "c": measures(10), "d": measures(5), "e": measures(30)}
    board = one_board(tmp_path, scores)
    assert [(p.rank, p.row.model) for p in places(board, "mean")] == [(1, "b"), (1, "e"), (3, "a"), (3, "c"), (5, "d")]


def test_ranks_stay_by_score_when_sorted_by_time_or_name(tmp_path: Path) -> None:
    board = one_board(
        tmp_path, {"b": measures(10), "a": measures(30), "c": measures(20)}, {"a": 3.0, "b": 1.0, "c": 2.0}
    )
    assert [(p.rank, p.row.model) for p in places(board, "seconds")] == [(3, "b"), (2, "c"), (1, "a")]
    assert [(p.rank, p.row.model) for p in places(board, "model")] == [(1, "a"), (3, "b"), (2, "c")]


@pytest.mark.parametrize("sort", ["rouge1", "rouge2", "rougeL", "sum", "mean"])
def test_each_measure_sorts_and_ranks(tmp_path: Path, sort: str) -> None:
    flat = dict.fromkeys(("rouge1", "rouge2", "rougeL", "sum", "mean"), 50.0)
    board = one_board(tmp_path, {"low": flat | {sort: 1.0}, "high": flat | {sort: 99.0}, "middle": flat})
    assert [(p.rank, p.row.model) for p in places(board, sort)] == [(1, "high"), (2, "middle"), (3, "low")]


def test_board_of_another_metric_shows_its_measures_in_their_order(tmp_path: Path) -> None:
    with Store.open(tmp_path / "dsum.db") as store:
        store.declare_signature("bert:v1", "bertscore", ("recall", "f1"))
        key = store.open_run(make_run("m", n=1), "model")
        store.add(key, [ScoredOutput(scored(0).output, {"bert:v1": {"f1": 70.0, "recall": 60.0}})], positions(1))
        store.close_run(key, "done")
    text = run_command("leaderboard", "--results", str(tmp_path), "--metric", "bertscore")
    assert text.index("recall") < text.index("f1")
    assert run_command("leaderboard", "--results", str(tmp_path), "--all-metrics") == text
    assert "unknown" not in run_command("leaderboard", "--results", str(tmp_path), "--all-metrics", "--sort", "recall")


# -- mistakes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("leaderboard", "--sort", "rouge"), "'rouge1'"),
        (("leaderboard", "--dataset", "talk"), "'talks'"),
        (("leaderboard", "--metric", "rouge@mecap"), "'rouge@mecab'"),
        (("leaderboard", "--split", "train"), "dev"),
        (("show", "qwen3-4c"), "'qwen3-4b'"),
    ],
)
def test_mistakes_are_one_sentence_with_the_nearest_name(results: Path, arguments: tuple[str, ...], told: str) -> None:
    text = run_command(*arguments, "--results", str(results), code=2)
    assert text.startswith("Error: ")
    assert text.count("\n") == 1
    assert told in text


def test_an_ambiguous_name_is_answered_with_a_line_for_each_run(results: Path) -> None:
    text = run_command("show", "smollm2-135m-instruct", "--results", str(results), code=2)
    assert text.startswith("Error: 'smollm2-135m-instruct' names 2 runs") and text.count("\n") == 3


def test_no_results_yet(tmp_path: Path) -> None:
    text = run_command("leaderboard", "--results", str(tmp_path / "none"), code=2)
    assert "dsum-bench screen" in text


# -- cost -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [("leaderboard",), ("leaderboard", "--json"), ("show", "twin")])
def test_reading_results_imports_nothing_heavy(results: Path, command: tuple[str, ...]) -> None:
    code = (
        "import sys; from dsum_bench.cli import main; main(sys.argv[1:], standalone_mode=False); "
        "print(sorted({'torch', 'pandas', 'scipy', 'sqlite_utils', 'transformers', 'MeCab'} & set(sys.modules)))"
    )
    call = [sys.executable, "-c", code, *command, "--results", str(results)]
    out = subprocess.run(call, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]).stdout
    assert lines(out)[-1] == "[]"


def test_models_of_one_fate_share_a_line(tmp_path: Path) -> None:
    with open_store(tmp_path / "dsum.db") as store:
        for name in ("kobart", "llama32-3b"):
            store.record(make_run(name), "model", "skipped", "hub unreachable")
        store.record(make_run("solar-10.7b"), "model", "skipped", "needs 25 GB")
    text = run_command("leaderboard", "--results", str(tmp_path))
    told = [line.split() for line in lines(text)]
    assert ["kobart,", "llama32-3b", "zero-shot", "skipped", "hub", "unreachable"] in told
    assert ["solar-10.7b", "zero-shot", "skipped", "needs", "25", "GB"] in told
