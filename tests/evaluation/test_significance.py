"""Significance: against SciPy, Holm by hand, a naive bootstrap, and degenerate differences."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from reeltag.evaluation import significance
from reeltag.evaluation.significance import (
    bootstrap_interval,
    bootstrap_means,
    compare_pairs,
    holm,
    paired_t,
    signed_rank,
)


def recalls(seed: int, posts: int = 300, shift: float = 0.0) -> np.ndarray:
    """Values such as recall gives: few distinct ones, many ties."""
    rng = np.random.default_rng(seed)
    return rng.binomial(4, min(0.4 + shift, 1), posts) / 4


@pytest.mark.parametrize("seed", range(5))
def test_p_values_equal_scipys(seed: int) -> None:
    first, second = recalls(seed, shift=0.05), recalls(seed + 100)
    d = first - second
    assert paired_t(d) == pytest.approx(stats.ttest_rel(first, second).pvalue, rel=1e-10)
    expected = stats.wilcoxon(d[d != 0], method="asymptotic", correction=False).pvalue
    assert signed_rank(d) == pytest.approx(expected, rel=1e-10)


def test_holm_by_hand() -> None:
    # Sorted .005 .01 .03 .04 times 4 3 2 1 = .02 .03 .06 .04 -> the last is lifted to .06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == pytest.approx([1.0, 1.0])
    assert holm([0.2]) == pytest.approx([0.2])
    assert len(holm([])) == 0


def test_no_difference_is_no_evidence() -> None:
    zeros = np.zeros(50)
    assert paired_t(zeros) == signed_rank(zeros) == 1.0
    (test,) = compare_pairs({"a": recalls(0), "b": recalls(0)}, [("a", "b")])
    assert (test.difference, test.low, test.high) == (0.0, 0.0, 0.0)
    assert test.t_holm == test.wilcoxon_holm == 1.0
    assert not test.significant


def test_differences_of_rounding_are_none() -> None:
    values = recalls(1)
    noisy = (values * 3 + 1e-16) / 3
    (test,) = compare_pairs({"a": values, "b": noisy}, [("a", "b")])
    assert test.t_p == test.wilcoxon_p == 1.0


def test_constant_and_tiny_differences() -> None:
    assert paired_t(np.full(20, 0.25)) == 0.0
    assert signed_rank(np.full(20, 0.25)) < 1e-4
    assert paired_t(np.array([0.5])) == 1.0
    assert signed_rank(np.array([1.0, -1.0])) == 1.0


def test_bootstrap_equals_a_naive_one() -> None:
    values = np.stack([recalls(2, 40), recalls(3, 40)], axis=1)
    found = bootstrap_means(values, resamples=200, seed=5)
    drawn = np.random.default_rng(5).integers(40, size=(200, 40))
    naive = np.array([[values[row, k].mean() for k in range(2)] for row in drawn])
    np.testing.assert_allclose(found, naive, atol=1e-12)


def test_bootstrap_stays_within_its_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    values = recalls(4, 100)[:, None]
    whole = bootstrap_means(values, 500, 1)
    monkeypatch.setattr(significance, "_BUDGET", 32 * 100 * 7)
    np.testing.assert_allclose(bootstrap_means(values, 500, 1), whole)


def test_the_interval_covers_the_mean_and_follows_the_normal_one() -> None:
    values = recalls(6, 2000)
    low, high = bootstrap_interval(values, seed=0)
    half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    assert low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.1 * half)
    assert bootstrap_interval(values, seed=0) == (low, high)
    assert bootstrap_interval(values, seed=1) != (low, high)


def test_a_family_is_corrected_together() -> None:
    values = {"best": recalls(0, shift=0.2), "near": recalls(1, shift=0.18), "far": recalls(2)}
    tests = compare_pairs(values, [("best", "near"), ("best", "far")])
    assert [t.t_holm for t in tests] == pytest.approx(list(holm([t.t_p for t in tests])))
    assert tests[1].significant
    assert tests[1].low > 0
    assert tests[1].difference == pytest.approx(values["best"].mean() - values["far"].mean())
    assert compare_pairs(values, []) == []


def test_values_of_other_posts_are_refused() -> None:
    with pytest.raises(ValueError, match="over the same posts"):
        compare_pairs({"a": recalls(0, 10), "b": recalls(0, 11)}, [("a", "b")])
