"""Filtered history: the pool comes back in blocks, the variance follows its recursion, history included."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from praesidium.component import InputError
from praesidium.markets.filtered_history import FilteredHistory, tail_coverage
from praesidium.markets.garch import GJR

MODEL = GJR(omega=2.5e-6, alpha=0.03, gamma=0.12, beta=0.88, nu=7.0, mean=0.0002)
NORMAL = np.random.default_rng(4).normal(0.3, 2.0, 4000)
HISTORY = FilteredHistory(MODEL, NORMAL, starts=np.array([MODEL.variance]))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_shapes_and_inception():
    paths = HISTORY.simulate(paths=50, horizon=30, lookback=20, generator=seeded())
    assert paths.spot.shape == (51, 50)
    assert paths.spot.dtype == torch.float32
    assert (paths.horizon, paths.lookback, paths.dt) == (30, 20, 1 / 252)
    assert (paths.spot[20] == 1).all()
    assert (paths.implied >= 0.08).all()
    assert (paths.implied <= 1.2).all()


def test_the_seed_and_nothing_else_decides():
    state = torch.get_rng_state()
    first, again = (HISTORY.simulate(paths=20, horizon=10, lookback=5, generator=seeded(3)) for _ in range(2))
    other = HISTORY.simulate(paths=20, horizon=10, lookback=5, generator=seeded(4))
    assert torch.equal(first.spot, again.spot)
    assert torch.equal(first.implied, again.implied)
    assert not torch.equal(first.spot, other.spot)
    assert torch.equal(torch.get_rng_state(), state)


def test_residuals_come_back_in_geometric_blocks():
    flat = FilteredHistory(GJR(1e-4, 0.0, 0.0, 0.0, 7.0, 0.0), NORMAL, starts=np.array([1e-4]), block=8)
    paths = flat.simulate(paths=500, horizon=200, lookback=0, generator=seeded(), dtype=torch.float64)
    drawn = ((paths.spot.log().diff(dim=0) + 1e-4 / 2) / 1e-2).numpy()
    order = np.argsort(flat.pool)
    day = order[np.searchsorted(flat.pool[order] + 1e-9, drawn).clip(max=len(order) - 1)]
    assert np.allclose(flat.pool[day], drawn, atol=1e-8)
    follows = (np.diff(day, axis=0) % len(order)) == 1
    assert 1 - follows.mean() == pytest.approx(1 / 8, abs=0.003)
    again = follows[1:][~follows[:-1]].mean()  # memoryless: a new block is as likely to go on as an old one
    assert again == pytest.approx(7 / 8, abs=0.01)
    assert np.bincount(day.ravel(), minlength=len(order)).min() > 0


def test_a_path_marks_what_its_own_returns_imply():
    paths = HISTORY.simulate(paths=4, horizon=30, lookback=20, generator=seeded(8), dtype=torch.float64)
    left = torch.arange(30, -1, -1, dtype=torch.float64)
    for place in range(4):
        variance = [MODEL.variance]
        for move in paths.spot[:, place].log().diff().tolist():
            shock = move + variance[-1] / 2
            news = MODEL.alpha + MODEL.gamma * (shock < 0)
            variance.append(MODEL.omega + news * shock**2 + MODEL.beta * variance[-1])
        implied = MODEL.implied(
            torch.tensor(variance[20:], dtype=torch.float64), left, multiplier=1.15, clip=(0.08, 1.2)
        )
        assert torch.allclose(implied, paths.implied[:, place], rtol=1e-8)


def test_realized_variance_is_what_was_expected():
    start = 4 * MODEL.variance
    symmetric = np.concatenate([NORMAL - NORMAL.mean(), NORMAL.mean() - NORMAL])
    history = FilteredHistory(MODEL, symmetric, np.array([start]), block=1, premium_multiplier=1.0, clip=(0.0, 9.0))
    paths = history.simulate(paths=20_000, horizon=40, lookback=0, generator=seeded(), dtype=torch.float64)
    realized = 252 * (paths.spot.log().diff(dim=0) ** 2).mean(0)
    error = realized.std().item() / np.sqrt(20_000)
    assert history.persistence == pytest.approx(MODEL.persistence, abs=1e-9)
    assert realized.mean().item() == pytest.approx(paths.implied[0, 0].item() ** 2, abs=4 * error)
    gain = paths.spot[-1]
    assert gain.mean().item() == pytest.approx(1, abs=4 * gain.std().item() / np.sqrt(20_000))


def test_the_start_is_drawn_before_the_history():
    calm, wild = MODEL.variance / 4, MODEL.variance * 25
    mixed = replace(HISTORY, starts=np.array([calm, wild]))
    paths = mixed.simulate(paths=2000, horizon=5, lookback=20, generator=seeded(), dtype=torch.float64)
    early = paths.spot[:6].log().diff(dim=0).abs().mean(0)
    assert 0.4 < (early > 0.012).double().mean() < 0.6


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"residuals": np.ones(9)}, "residuals"),
        ({"residuals": np.empty(0)}, "residuals"),
        ({"starts": np.empty(0)}, "starts"),
        ({"starts": np.array([0.0])}, "starts"),
        ({"block": 0.5}, "block: 0.5"),
    ],
)
def test_what_cannot_be_simulated_is_refused(change, sentence):
    with pytest.raises(InputError, match=sentence):
        replace(HISTORY, **change)


def test_tail_coverage_compares_the_largest_moves():
    coverage = tail_coverage(np.array([-4.0, 1.0]), np.array([2.0, 5.0]))
    assert (coverage.pool, coverage.other, coverage.covered) == (4.0, 5.0, False)
