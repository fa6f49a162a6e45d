"""The router: what it learns, and what it may not see."""

from __future__ import annotations

import numpy as np
import pytest

from dsum_bench.combining import routing
from dsum_bench.spec import Sample


def rows(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The second run is better where the first feature is positive."""
    generator = np.random.default_rng(seed)
    features = generator.normal(0, 1, (n, 5))
    noise = generator.normal(0, 1, (n, 2))
    return features, noise + np.column_stack([40 - 3 * features[:, 0], 40 + 3 * features[:, 0]])


def test_it_learns_which_run_to_trust() -> None:
    router = routing.learn(*rows(300))
    features, scores = rows(200, seed=1)
    chosen = [router.choose(row) for row in features]
    assert np.mean(scores[np.arange(200), chosen]) > scores.mean(axis=0).max() + 1.5


def ridge(features: np.ndarray, scores: np.ndarray, penalty: float) -> np.ndarray:
    """Weights of centred columns, from the normal equations."""
    x, y = features - features.mean(axis=0), scores - scores.mean(axis=0)
    return np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y)


def test_its_penalty_is_the_one_that_leaving_each_row_out_finds() -> None:
    features, scores = rows(40)
    plain = (features - features.mean(axis=0)) / features.std(axis=0)

    def error(penalty: float) -> float:
        total = 0.0
        for i in range(len(plain)):
            x, y = np.delete(plain, i, axis=0), np.delete(scores, i, axis=0)
            predicted = y.mean(axis=0) + (plain[i] - x.mean(axis=0)) @ ridge(x, y, penalty)
            total += float(((scores[i] - predicted) ** 2).sum())
        return total

    best = min(routing.PENALTIES, key=error)
    assert routing.learn(features, scores).weights == pytest.approx(ridge(plain, scores, best), abs=1e-9)


def test_without_a_signal_it_takes_the_run_with_the_best_mean() -> None:
    generator = np.random.default_rng(4)
    features = generator.normal(0, 1, (400, 5))
    scores = generator.normal([40, 43], 5, (400, 2))
    router = routing.learn(features, scores)
    assert np.mean([router.choose(row) for row in features]) > 0.9
    assert routing.learn(np.zeros((30, 3)), np.tile([1.0, 2.0], (30, 1))).choose(np.zeros(3)) == 1


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 20 rows"):
        routing.learn(*rows(19))


def test_a_row_is_routed_without_its_own_reference_or_that_of_a_copy() -> None:
    # Every dialogue stands there twice. A router that saw the copy would route by it: the features tell them apart
    # perfectly and mean nothing else.
    n = 60
    samples = [Sample(f"s{i}", f"#Person1#: {i // 2}번 이야기", ("r",)) for i in range(n)]
    features = np.repeat(np.eye(n // 2), 2, axis=0)
    better = np.repeat(np.random.default_rng(5).integers(0, 2, n // 2), 2)
    scores = np.where(np.arange(2) == better[:, None], 60.0, 40.0)
    chosen = routing.cross_fitted(samples, features, scores)
    assert chosen == routing.cross_fitted(samples, features, scores)
    # What it takes for a row is the same whatever that row's own score is.
    for i in range(0, n, 2):
        changed = scores.copy()
        changed[i : i + 2] = changed[i : i + 2, ::-1] * 10
        again = routing.cross_fitted(samples, features, changed)
        assert again[i : i + 2] == chosen[i : i + 2]


def test_copies_of_what_is_evaluated_are_not_learnt_from() -> None:
    known = [Sample("a", "#Person1#: 안녕"), Sample("b", "#Person1#:  안녕 "), Sample("c", "#Person1#: 네")]
    assert routing.unseen(known, [Sample("z", "#Person1#: 안녕")]) == [2]


def test_features_need_no_reference() -> None:
    sample = Sample("a", "#Person1#: 어디예요? 3층?\n#Person2#: 저기 #Address#요.", ("비밀",))
    texts, values = ["#Person1#이 묻는다.", "둘이 만난다. 간다."], [[100.0, 20.0], [20.0, 100.0]]
    first = routing.features(sample, texts, values)
    other = routing.features(Sample("a", sample.dialogue, ("다른 비밀",)), texts, values)
    assert first.tolist() == other.tolist() and len(first) == 7 + 2 * 5
    assert routing.features(Sample("a", ""), ["", ""], values).tolist()[:3] == [pytest.approx(np.log1p(1)), 0, 0]
