"""Every allocator as an estimator of skfolio and scikit-learn."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from skfolio.model_selection import CombinatorialPurgedCV, WalkForward, cross_val_predict
from skfolio.optimization import BaseOptimization
from skfolio.pre_selection import SelectKExtremes
from skfolio.prior import ReturnDistribution
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline

from praesidium.component import InputError
from praesidium.portfolio.attention import AttentionPortfolioOptimizer
from praesidium.portfolio.constraints import LongShort
from praesidium.portfolio.fitting import observe
from praesidium.portfolio.ledger import run_ledger
from praesidium.regimes.bands import VolatilityBands

SMALL = {"hidden_dim": 8, "epochs": 2, "sequence": 20, "windows": (5,)}


@pytest.fixture(scope="module")
def fitted(market, calm_model):
    """Each member, fitted on the first hundred rows."""
    made = {}

    def by(member):
        if member not in made:
            made[member] = member(**SMALL, regime_model=calm_model()).fit(market.iloc[:100])
        return made[member]

    return by


def few(calm_model, **settings):
    return AttentionPortfolioOptimizer(
        **SMALL | {"lookback": 5, "regime_model": calm_model and calm_model()} | settings
    )


def test_clones_have_the_same_settings_and_nothing_learned(member, fitted, market):
    allocator = fitted(member)
    assert isinstance(allocator, BaseOptimization)
    assert isinstance(allocator, torch.nn.Module)
    copy = clone(allocator)
    assert repr(copy) == repr(allocator)
    assert "epochs=2" in repr(copy)
    assert copy.assets is None
    with pytest.raises(NotFittedError):
        copy.decide(market)
    names = set(allocator.get_params(deep=False))
    assert {"K", "n_assets", "hidden_dim", "loss", "max_weight", "previous_weights", "transaction_costs"} <= names
    assert member(**allocator.get_params(deep=False)).get_params(deep=False) == allocator.get_params(deep=False)


def test_fit_decides_the_weights_after_the_last_row(member, fitted, market):
    allocator = fitted(member)
    assert allocator.weights_.shape == (4,)
    assert allocator.weights_.sum() == pytest.approx(1, abs=1e-12)
    assert allocator.weights_.min() >= 0
    assert allocator.feature_names_in_.tolist() == list("ABCD")
    assert len(allocator.loss_curve_) == 2
    portfolio = allocator.predict(market.iloc[100:])
    np.testing.assert_allclose(portfolio.returns, market.iloc[100:] @ allocator.weights_)


def test_decisions_of_new_rows_know_the_past_alone(member, fitted, market):
    weights = fitted(member).decide(market)
    assert weights.index.equals(market.index)
    assert weights.columns.equals(market.columns)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-12)
    changed = market.copy()
    changed.iloc[90:] = changed.iloc[90:].to_numpy()[::-1] * -2
    assert np.array_equal(fitted(member).decide(changed).iloc[:90], weights.iloc[:90])
    assert not np.array_equal(fitted(member).decide(changed).iloc[90:], weights.iloc[90:])


@pytest.mark.parametrize("delay", [0, 1])
def test_nothing_is_traded_between_the_days_of_trading(delay, market, calm_model):
    """A row without a decision is NaN; the weights in between are left to drift, in the book as in the policy."""
    allocator = few(calm_model, trade_every=21).fit(market.iloc[:100])
    targets = allocator.decide(market).to_numpy()
    decided = np.arange(len(market)) % 21 == 0
    assert np.isfinite(targets[decided]).all()
    assert np.isnan(targets[~decided]).all()
    prices = (1 + market).cumprod().to_numpy()
    book = run_ledger(prices, targets, delay=delay)
    assert np.array_equal(np.flatnonzero(book.turnover), np.flatnonzero(decided) + delay)
    daily = allocator.set_params(trade_every=1).decide(market).to_numpy()
    assert np.isfinite(daily).all()
    assert book.turnover[1 + delay :].sum() < 0.5 * run_ledger(prices, daily, delay=delay).turnover[1 + delay :].sum()


def test_the_book_of_the_decisions_holds_what_the_policy_holds(market, calm_model):
    """Without delay and cost: the weights that the network believes to hold are those of the ledger, day by day."""
    allocator = few(calm_model, trade_every=21).fit(market.iloc[:100])
    book = run_ledger((1 + market).cumprod().to_numpy(), allocator.decide(market).to_numpy(), delay=0)
    state = observe(allocator.regime_model_, market.to_numpy(), regimes=3, windows=(5,))
    with torch.no_grad():
        held = allocator(**state._asdict())[0].numpy()
    np.testing.assert_allclose(book.weights, held, atol=1e-5)


def test_fits_are_the_same_for_a_seed_and_touch_no_global_state(member, fitted, market, calm_model):
    torch.manual_seed(3)
    numbers, legacy = torch.get_rng_state(), np.random.get_state()
    again = member(**SMALL, regime_model=calm_model()).fit(market.iloc[:100])
    assert torch.equal(numbers, torch.get_rng_state())
    assert np.array_equal(legacy[1], np.random.get_state()[1])
    assert np.array_equal(again.weights_, fitted(member).weights_)
    restored = pickle.loads(pickle.dumps(again))
    assert np.array_equal(restored.decide(market), again.decide(market))


def test_walk_forward(member, market, calm_model):
    allocator = member(**SMALL | {"epochs": 1}, regime_model=calm_model(), transaction_costs=0.001, trade_every=25)
    held = cross_val_predict(allocator, market, cv=WalkForward(train_size=100, test_size=25))
    assert len(held.portfolios) == 2
    np.testing.assert_allclose(held.portfolios[1].previous_weights, held.portfolios[0].ending_weights)
    assert not np.allclose(held.portfolios[1].weights, held.portfolios[0].weights)


def test_the_default_regime_model_in_combinatorial_purged_folds(market):
    cv = CombinatorialPurgedCV(n_folds=3, n_test_folds=2, purged_size=2, embargo_size=1)
    paths = cross_val_predict(AttentionPortfolioOptimizer(**SMALL | {"epochs": 1}), market, cv=cv)
    assert len(paths) == cv.n_test_paths
    assert all(len(path.returns) == len(market) for path in paths)


def test_pipelines_and_nested_settings(market, calm_model):
    pipeline = Pipeline([("select", SelectKExtremes(k=2)), ("allocate", few(calm_model))])
    pipeline.set_params(allocate__epochs=1, allocate__regime_model__n_regimes=2, allocate__K=2)
    portfolio = pipeline.fit(market.iloc[:100]).predict(market.iloc[100:])
    assert portfolio.n_assets == 2
    assert pipeline[-1].regime_model_.n_regimes == 2


def test_a_trade_is_paid_once(market, calm_model):
    """What net returns lack, summed over the test, is the rate times the turnover of the trade into it."""

    def gross(weights, returns, *, cost_rate):
        return -(weights * returns).sum()

    held = {"A": 0.5, "B": 0.5}
    free, costly = (
        few(calm_model, transaction_costs=cost, previous_weights=held, loss=gross).fit(market.iloc[:100])
        for cost in (0.0, 0.002)
    )
    traded = np.abs(costly.weights_ - [0.5, 0.5, 0, 0]).sum()
    rows = market.iloc[100:]
    paid = free.predict(rows).returns.sum() - costly.predict(rows).returns.sum()
    assert paid == pytest.approx(0.002 * traded, rel=1e-9)
    moments = ReturnDistribution(mu=rows.mean().to_numpy(), covariance=rows.cov().to_numpy(), returns=rows.to_numpy())
    np.testing.assert_allclose(costly.predict(moments).returns, costly.predict(rows).returns)
    own = costly.set_params(portfolio_params={"transaction_costs": 0.01}).predict(rows)
    assert own.total_cost == pytest.approx(0.01 * traded)
    assert costly.portfolio_params == {"transaction_costs": 0.01}


def test_previous_weights_are_left_by_a_part_of_the_way_to_the_aim(market, calm_model):
    """All assets go the same share of the way, and a mapping by name is understood."""
    aim = few(calm_model).fit(market).weights_
    start = {"B": 1.0}
    weights = few(calm_model, previous_weights=start).fit(market).weights_
    share = (weights - [0, 1, 0, 0]) / (aim - [0, 1, 0, 0])
    np.testing.assert_allclose(share, share[0], rtol=1e-5)
    assert 0.05 < share[0] < 0.95
    assert few(calm_model).needs_previous_weights


def test_training_lowers_the_loss(market, calm_model):
    curve = few(calm_model, epochs=12, learning_rate=0.02, sequence=160).fit(market.iloc[:60]).loss_curve_
    assert curve[-1] < curve[0] - 0.5


def test_a_regime_signal_is_learned(calm_model):
    """One asset gains in calm markets, the other in wild ones."""
    generator = np.random.default_rng(3)
    wild = (np.arange(200) // 25) % 2 == 1
    noise = np.where(wild, 0.02, 0.004) * generator.choice([-1.0, 1.0], 200)
    drift = np.where(wild, 0.004, -0.004)
    returns = pd.DataFrame({"calm": noise - drift, "wild": noise + drift})
    weights = few(calm_model, epochs=25, learning_rate=0.02, sequence=50).fit(returns).decide(returns)
    assert weights["wild"][wild].mean() > weights["wild"][~wild].mean() + 0.3


def test_a_regime_that_is_not_known_yet_may_be_any(market):
    """Bands know nothing before their first window is full, in the rows of the fit and in those of a decision."""
    allocator = few(None, regime_model=VolatilityBands(3, window=10), trade_every=1).fit(market.iloc[:100])
    assert np.isfinite(allocator.weights_).all()
    state = observe(allocator.regime_model_, market.to_numpy(), regimes=3, windows=(5,))
    for belief in (state.regimes[0], state.forecast[0]):
        assert torch.equal(belief[:9], torch.full((9, 3), 1 / 3))
        assert belief[9:].max(-1).values.min() > 0.5
    weights, changed = allocator.decide(market), market.copy()
    assert np.isfinite(weights).all(axis=None)
    changed.iloc[5:] *= -2
    assert np.array_equal(allocator.decide(changed).iloc[:5], weights.iloc[:5])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs=0 is too few; say at least 1"),
        ({"epochs": -1}, "epochs=-1 is too few"),
        ({"sequence": 0}, "sequence=0 is too few; say at least 2"),
        ({"sequence": 1}, "sequence=1 is too few"),
        ({"trade_every": 2.5}, "trade_every=2.5 is not a whole number"),
        ({"hidden_dim": True}, "hidden_dim=True is not a whole number"),
        ({"learning_rate": np.nan}, "learning_rate=nan is not a number above 0"),
        ({"windows": 21}, "windows=21 are not numbers of returns"),
        ({"windows": (21.0,)}, r"windows=\(21.0,\) are not numbers of returns"),
        ({"max_weight": np.nan}, "max_weight=nan is not above 0"),
        ({"random_state": np.random.RandomState(5)}, r"random_state=RandomState\(.* is not a whole number"),
    ],
)
def test_settings_of_the_wrong_kind_are_refused(settings, message):
    with pytest.raises(InputError, match=f"AttentionPortfolioOptimizer: {message}"):
        AttentionPortfolioOptimizer().set_params(**settings)


def test_sizes_and_seeds_may_be_integers_of_numpy():
    settings = {"epochs": np.int64(3), "windows": np.array([5]), "random_state": np.int64(5)}
    assert AttentionPortfolioOptimizer().set_params(**settings).random_state == 5


def test_other_constraints_hold_for_fitted_weights(market, calm_model):
    constraint = LongShort(net=0.0, gross=1.0, max_weight=0.3)
    weights = few(calm_model, constraint=constraint, trade_every=1).fit(market).decide(market).to_numpy()
    assert np.abs(weights.sum(1)).max() < 1e-12
    assert np.abs(weights).sum(1).max() < 1 + 1e-12
    assert np.abs(weights).max() < 0.3 + 1e-12


def test_settings_that_do_not_shape_the_network_keep_what_was_learned(market, calm_model):
    allocator = few(calm_model).fit(market)
    weights = allocator.decide(market)
    allocator.set_params(previous_weights=[1.0, 0, 0, 0], loss=len, transaction_costs=0.0)
    assert allocator.loss_function is len
    assert allocator.get_params()["loss"] is len
    assert not np.array_equal(allocator.decide(market).iloc[0], weights.iloc[0])
    np.testing.assert_allclose(allocator.decide(market).iloc[-1], weights.iloc[-1], atol=1e-3)
    assert allocator.set_params(hidden_dim=16).assets is None
    assert allocator.set_params(n_assets=3).network.scores.weight.shape == (3, 16)
    with pytest.raises(InputError, match="heads=3 does not divide"):
        allocator.set_params(heads=3)


def test_data_that_cannot_be_used_are_refused(market, calm_model):
    allocator = few(calm_model, previous_weights=0.25)
    with pytest.raises(InputError, match=r"1 returns in X are missing or infinite \(first: row 2 of C\)"):
        allocator.fit(market.where(market != market.iloc[2, 2]))
    with pytest.raises(InputError, match="n_assets=3, but X has 4 columns"):
        few(calm_model, n_assets=3).fit(market)
    with pytest.raises(InputError, match="lets 4 assets hold"):
        few(calm_model, max_weight=0.2).fit(market)
    with pytest.raises(InputError, match="Calm tells 2 regimes apart, K=3 are expected; say K=2"):
        few(calm_model, regime_model=calm_model(2)).fit(market)
    with pytest.raises(InputError, match="X has 1 rows"):
        allocator.fit(market.iloc[:1])
    broken = market.where(market != market.iloc[2, 2])
    kept = few(calm_model, fallback="previous_weights", previous_weights=[0.4, 0.3, 0.2, 0.1]).fit(broken)
    np.testing.assert_allclose(kept.weights_, [0.4, 0.3, 0.2, 0.1])
