"""Training on two legs: the hedge that the data have in them, by regime where there is one."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from praesidium.component import InputError
from praesidium.policies import (
    DynamicDeltaHedger,
    LSTMDeltaHedger,
    RegimeDeltaHedger,
    TransactionCostAwareHedger,
    TransitionAwareHedger,
    train_delta_hedger,
)
from praesidium.policies.hedge_data import HedgeData
from praesidium.regimes.hmm import sample_chain
from praesidium.regimes.vae_hmm import VAE_HMM
from praesidium.training.reproducibility import stream

HEDGERS = (RegimeDeltaHedger, DynamicDeltaHedger, LSTMDeltaHedger, TransactionCostAwareHedger, TransitionAwareHedger)
each = pytest.mark.parametrize("kind", HEDGERS)
K, N, T = 2, 2, 900
CHAIN = torch.tensor([[0.97, 0.03], [0.03, 0.97]], dtype=torch.float64)
BETA = torch.tensor([[0.5, 0.8], [1.5, 1.8]], dtype=torch.float64)
NOISE = 0.003
generator = stream("tests", "legs")
STATES = sample_chain(CHAIN[0].log(), CHAIN.log(), steps=T, batch=1, generator=generator)[0]
BELIEF = 0.96 * torch.nn.functional.one_hot(STATES, K).double() + 0.02
FUTURES = 0.01 * torch.randn(T - 1, N, dtype=torch.float64, generator=generator)
SPOT = BETA[STATES[:-1]] * FUTURES + NOISE * torch.randn(T - 1, N, dtype=torch.float64, generator=generator)
READS = SimpleNamespace(input_dim=K, filter=lambda x, u, lengths: x.transpose(1, 2))  # features are the answer


def prices(returns, start):
    return start * torch.cat([torch.ones(1, N, dtype=torch.float64), 1 + returns]).cumprod(0)


S, F = prices(SPOT, 100.0), prices(FUTURES, 40.0)


def trained(kind, spot=S, futures=F, **settings):
    options = {"features": BELIEF.T, "cost_rate": 0.0, "num_epochs": 25, "lr": 0.002} | settings
    return train_delta_hedger(kind(K, N, hidden_dim=32), READS, spot, futures, **options)


def path(hedger, spot=S):
    known = HedgeData.of(spot, F, READS, K=K, n_assets=N, features=BELIEF.T, transition=None).known
    with torch.no_grad():
        return hedger.double().ratios(known)[0, :-1]


def left(ratios):
    return (SPOT + ratios * FUTURES).var(0).mean().item()


@each
def test_it_learns_the_ratio_of_each_regime(kind):
    """Where the true beta depends on the regime, no constant ratio gets near what is left then."""
    hedger, rows = kind(K, N, hidden_dim=32), []
    train_delta_hedger(hedger, READS, S, F, features=BELIEF.T, cost_rate=0.0, num_epochs=25, lr=0.002, log=rows.append)
    naked, constant, ours = left(torch.zeros(N)), left(hedger.textbook.double()), left(path(hedger))
    assert not hedger.training
    assert constant < 0.35 * naked
    assert ours < 0.6 * constant
    assert ours < 1.3 * NOISE**2
    assert [row["epoch"] for row in rows] == list(range(1, 26))
    assert rows[-1]["loss"] < rows[0]["loss"] < 1


@pytest.mark.parametrize("risk", ["variance", "cvar"])
def test_where_beta_is_one_number_it_is_found(risk):
    """As far as least squares find it, whatever the units of the prices."""
    beta = torch.tensor([0.7, 1.3], dtype=torch.float64)
    spot = prices(beta * FUTURES + (SPOT - BETA[STATES[:-1]] * FUTURES), 3.0)
    hedger = trained(RegimeDeltaHedger, spot, 1e4 * F, risk=risk)
    torch.testing.assert_close(hedger.textbook.double(), -beta, atol=0.03, rtol=0)
    least, ours = ((spot[1:] / spot[:-1] - 1 + one * FUTURES).var(0).mean() for one in (-beta, path(hedger, spot)))
    assert ours < 1.1 * least


def test_costs_make_a_hedge_trade_less():
    cheap, dear = (
        path(trained(TransactionCostAwareHedger, cost_rate=rate, num_epochs=8)).diff(dim=0).abs().sum()
        for rate in (0.0, 0.02)
    )
    assert dear < 0.5 * cheap


def test_training_depends_on_the_seed_alone_and_leaves_global_random_numbers():
    before = torch.get_rng_state()
    one, same, other = (trained(RegimeDeltaHedger, num_epochs=2, seed=seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["head.weight"], other["head.weight"])


def test_a_vae_hmm_that_reads_returns_needs_no_features_and_batches_may_be_given():
    model = VAE_HMM(input_dim=N, hidden_dim=8, K=K, hidden_dim2=8)
    kept = {name: one.clone() for name, one in model.state_dict().items()}
    spot, futures = (np.stack([one[:200], one[200:400]]) for one in (S.numpy(), F.numpy()))
    hedger = train_delta_hedger(LSTMDeltaHedger(K, N, hidden_dim=8), model, spot, futures, num_epochs=1)
    assert hedger(torch.full((1, 9, K), 0.5), torch.from_numpy(spot[:1, :9])).isfinite().all()
    assert all(torch.equal(kept[name], one) for name, one in model.state_dict().items())


def test_the_calls_of_the_tutorial():
    vae_hmm = VAE_HMM(input_dim=10, hidden_dim=8, K=3, hidden_dim2=8)
    spot_data, futures_data = (one[:150].repeat(1, 5) for one in (S, F))
    transition_matrix, spot_prices = torch.full((3, 3), 1 / 3), spot_data[-1:]
    regime_probs = torch.full((1, 3), 1 / 3)

    hedger = TransitionAwareHedger(K=3, n_assets=10, hidden_dim=64, lookahead=5)
    trained_hedger = train_delta_hedger(hedger, vae_hmm, spot_data, futures_data, num_epochs=50, lr=0.001)
    with torch.no_grad():
        hedge_ratios = trained_hedger(regime_probs, transition_matrix, spot_prices)
    assert trained_hedger is hedger
    assert hedge_ratios.shape == (1, 10)
    assert (hedge_ratios < 0).all()


def test_regimes_are_those_of_the_times_of_the_prices():
    seen = {}

    def watch(x, u, lengths):
        seen.update(x=x, u=u, lengths=lengths)
        return torch.full((*x.shape[::2], K), 1 / K)

    watcher = SimpleNamespace(input_dim=N, filter=watch)
    data = HedgeData.of(S, F, watcher, K=K, n_assets=N, features=None, transition=None)
    torch.testing.assert_close(seen["x"][0].T.double(), SPOT, atol=1e-7, rtol=0)
    assert seen["u"] is None
    assert seen["lengths"].tolist() == [T - 1]
    assert data.known.regimes.shape == (1, T - 1, K)
    torch.testing.assert_close(data.known.spot[0], S[1:])
    torch.testing.assert_close(data.spot_returns[0, 1:], SPOT[1:])
    torch.testing.assert_close(data.futures_returns[0, 1:], FUTURES[1:])


def test_windows_earn_every_return_and_the_chain_is_that_of_the_regimes():
    data = HedgeData.of(S, F, READS, K=K, n_assets=N, features=BELIEF.T, transition=None)
    assert (data.known.transition - CHAIN).abs().max() < 0.03
    pieces = list(data.batches(5, window=64, seed=0, epoch=0))
    earned = torch.cat([one.spot_returns[:, 1:].flatten(0, 1) for one in pieces])
    apart = (SPOT[:, :1] - earned[:, 0]).abs().amin(1)
    assert apart.max() < 1e-12
    assert len(earned) < 1.1 * len(SPOT)
    again = list(data.batches(5, window=64, seed=0, epoch=1))
    assert len(pieces) == len(again) == 5
    assert not torch.equal(pieces[0].spot_returns, again[0].spot_returns)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"features": None}, None),
        ({"spot_data": S[:-1]}, "do not fit; give prices"),
        ({"spot_data": S - 100}, "give prices, not returns"),
        ({"spot_data": S[:, 0]}, r"give prices \(time, 2\)"),
        ({"futures_data": torch.full_like(F, 7.0)}, "a future does not move"),
        ({"spot_data": torch.full_like(S, 7.0)}, "spot_data never moves"),
        ({"spot_data": S.expand(0, T, N), "futures_data": F.expand(0, T, N)}, r"\(0, 900, 2\); give prices"),
        ({"risk_aversion": 0.0}, "risk_aversion=0 is not above 0"),
        ({"cost_rate": -1e-3}, "cost_rate=-0.001 is not a rate"),
        ({"risk": "std"}, "train_delta_hedger: risk: 'std' is unknown"),
        ({"risk": "cvar", "level": 95.0}, "level=95 is not a fraction"),
        ({"transition": torch.nan * CHAIN}, "do not sum to one, or hold NaN"),
        ({"features": BELIEF.T[:, 1:]}, "of the times of the prices"),
        ({"features": BELIEF[:, :1].T}, "wanted are"),
        ({"num_epochs": 0}, "num_epochs=0 is too few"),
        ({"lr": -1.0}, "lr=-1 is not a learning rate"),
        ({"transition": CHAIN.T + 1}, "do not sum to one"),
    ],
)
def test_what_does_not_fit_is_refused(change, said):
    given = {"spot_data": S, "futures_data": F, "features": BELIEF.T, "num_epochs": 1} | change
    reader = SimpleNamespace(input_dim=5, filter=READS.filter) if said is None else READS
    said = said or r"reads 5 features.*pass features=\(5, time\)"
    hedger = RegimeDeltaHedger(K, N, hidden_dim=4)
    with pytest.raises(InputError, match=said):
        train_delta_hedger(hedger, reader, **given)
    assert (hedger.textbook == -1).all()  # nothing was learned before


DAYS = pd.bdate_range("2020-01-01", periods=T)


def dated(values, days=DAYS):
    return pd.DataFrame(values.numpy(), index=days)


def test_tables_of_the_same_dates_are_their_numbers():
    one, same = (
        trained(RegimeDeltaHedger, *legs, num_epochs=1).state_dict() for legs in ((dated(S), dated(F)), (S, F))
    )
    assert all(torch.equal(one[name], same[name]) for name in one)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"futures_data": dated(F, DAYS + pd.Timedelta(days=400))}, "row 0 is 2020-01-01 .* and 2021-02-04 "),
        ({"futures_data": dated(F).drop(DAYS[7])}, "row 7 is 2020-01-10 .* and 2020-01-13 "),
        ({"futures_data": dated(F)[:-1]}, "row 899 is 2023-06-13 .* and no date "),
        ({"futures_data": dated(F).reset_index(drop=True)}, "row 0 is 2020-01-01 .* and 0 "),
        ({"spot_data": dated(S)[::-1]}, "the dates of spot_data do not rise"),
        ({"futures_data": F, "spot_data": dated(S)[::-1]}, "the dates of spot_data do not rise"),
        ({"futures_data": dated(F, DAYS[:-1].insert(0, DAYS[0]))}, "the dates of futures_data do not rise"),
    ],
)
def test_tables_of_other_dates_are_refused(change, said):
    given = {"spot_data": dated(S), "futures_data": dated(F), "features": BELIEF.T} | change
    with pytest.raises(InputError, match=said):
        train_delta_hedger(RegimeDeltaHedger(K, N, hidden_dim=4), READS, **given)


def test_a_tail_without_losses_is_made_smaller_and_not_larger():
    """Spots that always rise: the CVaR without a hedge is a gain, by which a loss must not change its sign."""
    spot = prices(0.06 + SPOT, 1.0)
    hedger = RegimeDeltaHedger(K, N, hidden_dim=16)
    rows = []
    train_delta_hedger(
        hedger, READS, spot, F, features=BELIEF.T, cost_rate=0.0, num_epochs=4, lr=0.01, risk="cvar", log=rows.append
    )
    assert rows[-1]["loss"] < rows[0]["loss"] < 0
    best = left(path(hedger, spot))
    assert best < left(hedger.textbook.double())


@pytest.mark.parametrize("kind", [RegimeDeltaHedger, DynamicDeltaHedger])
def test_what_prices_cannot_teach_moves_no_hedge(kind):
    """Prices have neither options nor gamma: the ratio of an option is that of its asset times its delta."""
    hedger = trained(kind, num_epochs=2)
    spot, held = torch.full((1, N), 100.0), torch.ones(1, N)
    _, plain = hedger(torch.eye(K)[:1], spot, held)
    for unit in (0.05, -0.5):
        _, option = hedger(torch.eye(K)[:1], spot, held, unit_delta=unit * held)
        torch.testing.assert_close(option, unit * plain, rtol=1e-6, atol=0)
    if kind is DynamicDeltaHedger:
        greeks = {"gamma": 0.02 * held, "option_delta": 0.5 * held, "option_gamma": 0.04 * held}
        assert torch.equal(hedger.options(torch.eye(K)[:1], spot, held, **greeks), -0.5 * held)


def test_a_loss_that_is_no_number_names_the_epoch():
    hedger = RegimeDeltaHedger(K, N, hidden_dim=4)
    hedger.head.bias.data.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="train_delta_hedger: epoch 1"):
        train_delta_hedger(hedger, READS, S, F, features=BELIEF.T)
