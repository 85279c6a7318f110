"""`mosi_e2e.scores.intervals` in simulation, and against the studentised bootstrap by plain loops."""

import numpy as np
import pytest
from kit.typed_commands import load_module

from mosi_e2e.scores.class_metrics import CLASS_KEYS
from mosi_e2e.scores.intervals import ANGLE, LOGARITHM, PLAIN, SCALES, estimate_intervals, expand_percentiles
from mosi_e2e.scores.metrics import BINARY_KEYS, REGRESSION_KEYS
from mosi_e2e.scores.resampling import draw_resamples


def weigh_means(values: np.ndarray):
    """The weighted mean of units as a metric with one column."""
    return lambda weights: (weights @ values / weights.sum(axis=1))[:, None]


def deviate_by_loop(values: np.ndarray, scale) -> float:
    """Jackknife standard error of the mean of `values` on a scale: one value after another left out."""
    shortened = [scale.forward(np.delete(values, i).mean()) for i in range(len(values))]
    squares = [(x - scale.forward(values.mean())) ** 2 for x in shortened]
    return np.sqrt((len(values) - 1) / len(values) * sum(squares))


@pytest.mark.parametrize(("scale", "values"), [(PLAIN, (3, 2)), (LOGARITHM, (3, 2)), (ANGLE, (0.4, 0.2))])
def test_studentised_interval_equals_plain_loops(scale, values):
    values = np.abs(np.random.default_rng(0).normal(*values, size=12)).clip(0, 1 if scale is ANGLE else 99)
    found = estimate_intervals(weigh_means(values), [scale], 12, 200, 7, 0.9)[0]
    centre = scale.forward(values.mean())
    distances = []
    for counts in np.concatenate(list(draw_resamples(12, 200, 7))):
        drawn = np.repeat(values, counts)
        distances.append(abs(scale.forward(drawn.mean()) - centre) / deviate_by_loop(drawn, scale))
    reach = np.quantile(distances, 0.9) * deviate_by_loop(values, scale)
    expected = [float(scale.inverse(centre + side * reach)) for side in (-1, 1)]
    assert found == pytest.approx(expected, rel=1e-9)


def test_scales_invert_and_stay_in_range():
    assert set(SCALES) == {*REGRESSION_KEYS, *BINARY_KEYS, *CLASS_KEYS}
    grid = np.linspace(0.01, 0.99, 50)
    for scale in {*SCALES.values(), PLAIN}:
        assert scale.inverse(scale.forward(grid)) == pytest.approx(grid)
        assert (np.diff(scale.forward(grid)) > 0).all()
    assert ANGLE.inverse(np.array([-0.1, 2.0])).tolist() == [0, 1]
    assert LOGARITHM.inverse(np.array(-50.0)) > 0


def test_percentiles_take_over_where_an_error_does_not_exist():
    two = np.array([1.0, 2.0])  # half of the resamples hold one unit twice: their error is 0
    assert estimate_intervals(weigh_means(two), [PLAIN], 2, 200, 0, 0.95) == [[1, 2]]
    perfect = np.ones(20)
    assert estimate_intervals(weigh_means(perfect), [ANGLE], 20, 200, 0, 0.95) == [[1, 1]]
    many = np.random.default_rng(0).normal(size=400)
    found = estimate_intervals(weigh_means(many), [PLAIN], 400, 2000, 0, 0.95)[0]
    expected = many.mean() + np.array([-1, 1]) * 1.97 * many.std(ddof=1) / 20
    assert found == pytest.approx(expected, abs=0.01)


def test_an_interval_holds_its_metric_also_where_percentiles_leave_it_out():
    """A third more units than are drawn twice: the share of distinct units is never that of the whole."""

    def share_distinct(weights):
        return (weights > 0).mean(axis=1)[:, None]

    low, high = estimate_intervals(share_distinct, [PLAIN], 150, 500, 0, 0.95)[0]
    assert low < 0.7 and high == 1


def test_a_metric_may_be_undefined_in_one_of_twenty_resamples():
    values = np.random.default_rng(0).exponential(size=12)
    (drawn,) = draw_resamples(12, 20, 0)

    def weigh(weights):
        is_lost = (weights == drawn[3]).all(axis=1)[:, None]
        return np.where(is_lost, np.nan, weigh_means(values)(weights))

    low, high = estimate_intervals(weigh, [PLAIN], 12, 20, 0, 0.95)[0]
    assert low < values.mean() < high


def test_one_unit_that_outweighs_all_others_leaves_the_percentiles():
    values = np.append(1e-6 * np.arange(11), 0.01)
    replicates = np.concatenate([weigh_means(values)(counts) for counts in draw_resamples(12, 200, 0)])
    found = estimate_intervals(weigh_means(values), [PLAIN], 12, 200, 0, 0.95)
    assert found == expand_percentiles(replicates, 12, 0.95)


@pytest.mark.parametrize(("n_units", "is_symmetric"), [(100, True), (101, False)])
def test_up_to_a_hundred_units_are_studentised(n_units, is_symmetric):
    values = np.random.default_rng(0).exponential(size=n_units)
    low, high = estimate_intervals(weigh_means(values), [PLAIN], n_units, 100, 0, 0.95)[0]
    assert (abs((low + high) / 2 - values.mean()) < 1e-9) == is_symmetric


def test_percentiles_widen_as_units_become_few():
    replicates = np.random.default_rng(0).normal(size=(200_000, 1))
    widths = [np.ptp(expand_percentiles(replicates, n_units, 0.95)[0]) for n_units in (10_000, 31, 5)]
    # Twice the normal quantile, and twice sqrt(n / (n - 1)) * t[.975, n - 1] for the small ones.
    expected = [2 * 1.960, 2 * np.sqrt(31 / 30) * 2.042, 2 * np.sqrt(5 / 4) * 2.776]
    assert widths == pytest.approx(expected, rel=0.02)
    assert estimate_intervals(weigh_means(np.ones(1)), [PLAIN], 1, 10, 0, 0.95) == [None]


@pytest.fixture(scope="module")
def coverage():
    """The simulation of `benchmarks/interval_coverage.py`, which runs 1,000 sets."""
    return load_module("benchmarks/interval_coverage.py")


def test_intervals_cover_what_they_claim_in_simulation(coverage):
    found = coverage.measure_coverage(coverage.Population(), sets=100, resamples=200, methods=("video",))
    # 100 sets: standard error 2.2 points, so 88.5 and more are within three of 95.
    assert all(share >= 0.885 for share in found["video"].values()), found
    assert 0.92 <= np.mean(list(found["video"].values())) <= 0.98


def test_paired_intervals_and_tests_keep_their_promise_in_simulation(coverage):
    methods = ("difference", "rejected")
    found = coverage.measure_coverage(coverage.Population(), sets=50, resamples=200, methods=methods)
    assert all(share >= 0.86 for share in found["difference"].values()), found
    assert all(share <= 0.14 for share in found["rejected"].values()), found


def test_intervals_by_clip_claim_too_much_in_simulation(coverage):
    found = coverage.measure_coverage(coverage.Population(), sets=25, resamples=200, methods=("clip",))
    assert np.mean(list(found["clip"].values())) < 0.88


def test_coverage_benchmark_prints_its_table(coverage, capsys, monkeypatch):
    monkeypatch.setattr(coverage, "POPULATION_VIDEOS", 300)
    assert coverage.main(["--sets", "2", "--resamples", "50"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + 3 * len(coverage.POPULATIONS) + 1
    assert all(line.count("|") == lines[0].count("|") for line in lines)
