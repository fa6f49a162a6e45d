"""The constant that fits the data: chosen from training summaries, as the package ``rouge`` would choose it."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean

from commands import Dsum
from making import builtins
from rouge import Rouge

from dsum_bench.datasets.load import load
from dsum_bench.metrics.choose import build
from dsum_bench.metrics.tokenizers import Mecab
from dsum_bench.registry.load import load as registry
from dsum_bench.screening.fitting import best_sentence

DATASET = registry(plugins=builtins(), working_directory=Path("/")).dataset("samples-ko")


def test_the_sentence_is_the_one_that_the_package_ranks_first() -> None:
    samples = load(DATASET, builtins(), "train")
    cut, package = Mecab(), Rouge()
    texts = {s.id: " ".join(cut(s.references[0])) for s in samples}

    def mean(key: str) -> float:
        others = [i for i in texts if i != key]
        found = package.get_scores([texts[key]] * len(others), [texts[i] for i in others])
        return fmean(fmean(v["f"] for v in pair.values()) for pair in found)

    best = max(samples, key=lambda s: mean(s.id))
    metric = build(builtins(), "rouge@mecab")
    assert best_sentence(samples, metric, candidates=100, others=100) == best.references[0]
    assert best_sentence(samples, metric, 20, 10) == best_sentence(samples, metric, 20, 10)


def test_it_is_ranked_beside_the_shipped_constant_and_beats_it(tmp_path: Path) -> None:
    dsum = Dsum(tmp_path)
    done = dsum("screen", "constant-fit", "constant-ko", "--metric", "rouge@mecab")
    assert done.returncode == 0, done.stdout + done.stderr
    (board,) = json.loads(dsum("leaderboard", "--json").stdout)
    means = {row["model"]: row["means"]["mean"] for row in board["ranked"]}
    assert means["constant-fit"] > means["constant-ko"]
    assert (
        len(dsum.rows("select distinct summary from outputs join runs on id = run_id where model = 'constant-fit'"))
        == 1
    )


def test_without_training_summaries_it_is_skipped(tmp_path: Path) -> None:
    row = {"id": "a", "dialogue": "#Person1#: 안녕\n#Person2#: 응", "summary": "인사합니다."}
    (tmp_path / "dev.jsonl").write_text(json.dumps(row), encoding="utf-8")
    table = '[datasets.mine]\nformat = "jsonl"\npath = "{split}.jsonl"\n'
    (tmp_path / "registry.toml").write_text(table, encoding="utf-8")
    done = Dsum(tmp_path)("screen", "constant-fit", "--no-controls", "--dataset", "mine", "--dry-run", "--json")
    (told,) = json.loads(done.stdout)
    assert told["status"] == "skipped"
    others = json.loads(Dsum(tmp_path)("screen", "lead-3", "--dataset", "mine", "--dry-run", "--json").stdout)
    assert {m["model"] for m in others} == {"constant-ko", "lead-3", "longest-3"}
    beside = json.loads(Dsum(tmp_path)("screen", "lead-3", "--dry-run", "--json").stdout)
    assert {m["model"] for m in beside} == {"constant-fit", "constant-ko", "lead-3", "longest-3"}
    assert told["reason"].startswith("its sentence is chosen from split 'train': dataset 'mine' has no split 'train'")
