"""Training on two legs: the hedge that the data have in them, by regime where there is one."""

from types import SimpleNamespace

import numpy as np
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
    with pytest.raises(InputError, match=said):
        train_delta_hedger(RegimeDeltaHedger(K, N, hidden_dim=4), reader, **given)


def test_a_loss_that_is_no_number_names_the_epoch():
    hedger = RegimeDeltaHedger(K, N, hidden_dim=4)
    hedger.head.bias.data.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="train_delta_hedger: epoch 1"):
        train_delta_hedger(hedger, READS, S, F, features=BELIEF.T)
