import math

import pytest
import torch
from scipy import stats

from praesidium.component import InputError, build
from praesidium.markets.brownian import GeometricBrownian
from praesidium.markets.heston import Heston
from praesidium.markets.jumps import Merton
from praesidium.markets.market import Market
from praesidium.markets.randomized import Randomized
from praesidium.training.reproducibility import stream

WIDE = Randomized(intervals={"theta": (0.02, 0.08), "kappa": (2, 10), "xi": (0.1, 0.8), "rho": (-0.9, 0.0)})
VOLATILE = Randomized(base=GeometricBrownian(), intervals={"volatility": (0.1, 0.8)}, groups=8)


def draw(market, *, seed=0, paths=20_000, steps=8, dt=1 / 16, dtype=torch.float32):
    return market.sample(paths=paths, steps=steps, dt=dt, generator=stream("randomized", seed), dtype=dtype)


def simulate(market, *, seed=0, paths=512, horizon=20, lookback=5, dt=1 / 252):
    generator = stream("randomized", seed)
    return market.simulate(
        paths=paths, horizon=horizon, lookback=lookback, dt=dt, generator=generator, dtype=torch.float64
    )


@pytest.mark.parametrize("intervals", [{}, {"kappa": (3.0, 3.0)}, {"xi": (0.7, 0.7), "theta": (0.09, 0.09)}])
def test_one_group_of_fixed_parameters_has_the_paths_of_the_base(intervals):
    ours = draw(Randomized(intervals=intervals, groups=1), paths=200)
    generator = stream("randomized", 0)
    torch.rand(1, len(intervals), dtype=torch.float64, generator=generator)
    base = Heston(**{name: low for name, (low, _) in intervals.items()})
    theirs = base.sample(paths=200, steps=8, dt=1 / 16, generator=generator)

    ours_sorted, theirs_sorted = ([one[:, spot[-1].argsort()] for one in (spot, v)] for spot, v in (ours, theirs))
    assert all(map(torch.equal, ours_sorted, theirs_sorted))
    assert not torch.equal(ours[0], theirs[0])


def test_fixed_parameters_leave_the_law_of_the_base():
    ours, theirs = draw(Randomized(intervals={"rho": (-0.7, -0.7)}), seed=1), draw(Heston(), seed=2)

    for one, other in zip(ours, theirs, strict=True):
        assert stats.ks_2samp(one[-1].numpy(), other[-1].numpy()).pvalue > 0.01


def test_the_spot_is_a_martingale_from_one():
    spot, _ = draw(WIDE, paths=50_000)

    assert (spot[0] == 1).all()
    for now in spot[1:].double():
        assert abs(now.mean() - 1) < 3 * now.std() / math.sqrt(50_000)


def test_only_the_generator_is_random():
    torch.manual_seed(1)
    one = draw(WIDE, paths=300)
    torch.manual_seed(2)
    two = draw(WIDE, paths=300)

    assert all(map(torch.equal, one, two))
    assert not any(map(torch.equal, one, draw(WIDE, seed=1, paths=300)))


def test_the_order_in_which_intervals_are_written_does_not_matter():
    turned = Randomized(intervals=dict(reversed(WIDE.intervals.items())))

    assert turned == WIDE
    assert turned.fingerprint() == WIDE.fingerprint()
    assert all(map(torch.equal, draw(turned, paths=300), draw(WIDE, paths=300)))


def test_parameters_are_uniform():
    marks = simulate(VOLATILE.model_copy(update={"groups": 2000}), paths=2000, horizon=1).implied[0]

    assert len(marks.unique()) == 2000
    assert stats.kstest(marks.numpy(), stats.uniform(0.1, 0.7).cdf).pvalue > 0.01


@pytest.mark.parametrize(("paths", "sizes"), [(4096, {512}), (21, {2, 3}), (5, {1})])
def test_groups_are_equal_as_far_as_can_be(paths, sizes):
    _, counts = simulate(VOLATILE, paths=paths).implied[0].unique(return_counts=True)

    assert len(counts) == min(paths, 8)
    assert set(counts.tolist()) == sizes


def test_neighbours_mix_the_groups():
    _, group = simulate(VOLATILE, paths=4096).implied[0].unique(return_inverse=True)

    for batch in group.split(256):
        assert batch.bincount(minlength=8).min() >= 16  # 32 are expected


def test_each_path_is_marked_by_the_volatility_that_it_has():
    paths = simulate(VOLATILE, paths=64, horizon=2000, lookback=0, dt=1 / 20_000)
    realized = paths.spot.log().diff(dim=0).square().mean(0).mul(20_000).sqrt()

    torch.testing.assert_close(paths.implied, paths.implied[0].expand_as(paths.implied))
    torch.testing.assert_close(realized, paths.implied[0], rtol=0.08, atol=0)  # five standard errors


def test_each_path_is_marked_by_the_long_run_variance_that_it_returns_to():
    start, kappa, years = 0.04, 3.0, 60 / 252
    market = Randomized(base=Heston(kappa=kappa, xi=1e-3, v0=(start, start)), intervals={"theta": (0.01, 0.3)})
    paths = simulate(market, horizon=60, lookback=0)

    # Without noise v leads from its start to theta, and at maturity the mark is v itself.
    theta = (paths.implied[-1].square() - start * math.exp(-kappa * years)) / -math.expm1(-kappa * years)
    expected = theta + (start - theta) * -math.expm1(-kappa * years) / (kappa * years)
    assert theta.max() > 5 * theta.min()
    torch.testing.assert_close(paths.implied[0].square(), expected, rtol=5e-3, atol=0)


def test_marks_do_not_change_the_paths():
    spot, _ = draw(WIDE, paths=100, steps=25, dt=1 / 252, dtype=torch.float64)

    assert torch.equal(simulate(WIDE, paths=100).spot, spot / spot[5])


def test_expected_variance_is_the_base_s_where_nothing_is_random():
    variance = torch.linspace(0.01, 0.2, 7, dtype=torch.float64)
    market = Randomized(intervals={"theta": (0.09, 0.09), "kappa": (5.0, 5.0)})

    expected = Heston(theta=0.09, kappa=5.0).expected_variance(variance, 0.5)
    assert torch.equal(market.expected_variance(variance, 0.5), expected)


def test_a_variance_alone_does_not_tell_the_parameters():
    with pytest.raises(InputError, match=r"intervals.theta: \[0.02, 0.08\] gives each path its own"):
        WIDE.expected_variance(torch.ones(3), 0.5)
    simulate(Merton(base=WIDE))  # marks its paths while their parameters are known
    simulate(Randomized(base=Merton(base=Heston()), intervals={"intensity": (0, 6)}))


@pytest.mark.parametrize(
    ("intervals", "sentence"),
    [
        ({"xii": (0.1, 0.2)}, r"intervals: 'xii' is unknown; did you mean 'xi'\? known: kappa, rho, theta, xi"),
        ({"v0": (0.1, 0.2)}, r"intervals: 'v0' is unknown"),
        ({"xi": (0.4, 0.2)}, r"intervals.xi: the low bound 0.4 is above the high bound 0.2; write \[low, high\]"),
        ({"xi": (1e-4, 0.2)}, r"intervals.xi: input should be greater than or equal to 0.001, not 0.0001"),
        ({"rho": (-0.5, 1.5)}, r"intervals.rho: input should be less than or equal to 1, not 1.5"),
        ({"theta": (0.1, math.inf)}, r"intervals.theta.1: input should be a finite number"),
        ({"theta": (math.nan, 0.1)}, r"intervals.theta.0: input should be a finite number"),
    ],
)
def test_intervals_that_make_no_sense_are_refused(intervals, sentence):
    with pytest.raises(InputError, match=sentence) as refusal:
        build(Market, {"kind": "randomized", "base": {"kind": "heston"}, "intervals": intervals})
    assert "\n" not in str(refusal.value)


def test_settings_make_the_round_trip():
    assert build(Market, WIDE.settings()) == WIDE
