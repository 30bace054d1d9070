"""Every allocator as a module: shapes, limits, causality, order, what it looks at."""

import pytest
import torch

from praesidium.component import InputError
from praesidium.portfolio.allocator import Allocator
from praesidium.portfolio.attention import AttentionPortfolioOptimizer
from praesidium.portfolio.constraints import LeverageCapped, LongOnly, LongOrCash, LongShort
from praesidium.portfolio.ensemble import EnsemblePortfolioOptimizer
from praesidium.portfolio.hierarchical import HierarchicalPortfolioOptimizer
from praesidium.portfolio.transformer import TransformerPortfolioOptimizer
from praesidium.training.reproducibility import stream


def draws(*shape, purpose="policies"):
    return torch.randn(shape, generator=stream("tests", purpose, *shape))


def world(beliefs, batch=2, times=12, regimes=3, assets=4, features=4):
    """All that an allocator may look at."""
    return {
        "regimes": beliefs(batch, times, regimes),
        "forecast": beliefs(batch, times, regimes, "forecast"),
        "features": draws(batch, times, assets, features),
        "previous": draws(batch, assets).softmax(-1),
        "returns": 0.05 * draws(batch, times, assets),
    }


def test_the_registry_holds_every_member(members):
    assert set(Allocator.registry.values()) == set(members)


@pytest.mark.parametrize("regimes", [2, 3, 5])
def test_defaults_construct_for_any_number_of_regimes(member, regimes, beliefs):
    """Attention heads divide a width of the network, not the number of regimes."""
    allocator = member(regimes, 4)
    for batch, times in ((1, 1), (1, 5), (3, regimes)):
        weights = allocator(beliefs(batch, times, regimes))
        assert weights.shape == (batch, times, 4)
        assert torch.allclose(weights.sum(-1), torch.ones(batch, times), atol=1e-6)
        assert weights.min() >= 0
    assert allocator(beliefs(2, 1, regimes).squeeze(1)).shape == (2, 4)


def test_the_usage_of_the_readme():
    model = TransformerPortfolioOptimizer(K=3, n_assets=10, hidden_dim=64)
    assert sum(parameter.numel() for parameter in model.parameters()) > 0
    weights = model(torch.full((2, 7, 3), 1 / 3))
    assert weights.shape == (2, 7, 10)


@pytest.mark.parametrize("time", [0, 5, 10])
def test_the_future_cannot_move_the_past(member, time, beliefs):
    allocator, known = member(3, 4, trade_every=2), world(beliefs)
    before = allocator(**known)
    for name in ("regimes", "forecast", "features", "returns"):
        other = known[name].clone()
        other[:, time + 1 :] = other[:, time + 1 :].flip(-1) if name in {"regimes", "forecast"} else torch.inf
        if name == "returns":
            other[:, time + 1 :] = 0.3
        assert torch.equal(allocator(**known | {name: other})[:, : time + 1], before[:, : time + 1]), name


def test_a_prefix_is_decided_alike(member, beliefs):
    allocator, regimes = member(3, 4), beliefs(2, 30, 3)
    assert torch.allclose(allocator(regimes[:, :17]), allocator(regimes)[:, :17], atol=1e-6)


def test_the_order_of_the_past_matters(member, beliefs):
    allocator, regimes = member(3, 4), beliefs(2, 12, 3)
    shuffled = regimes.clone()
    shuffled[:, :-1] = regimes[:, :-1].flip(1)
    assert (allocator(regimes)[:, -1] - allocator(shuffled)[:, -1]).abs().max() > 1e-4


@pytest.mark.parametrize("member", [AttentionPortfolioOptimizer, TransformerPortfolioOptimizer])
def test_the_order_of_the_past_matters_to_the_aim_itself(member, beliefs):
    """Not only through the trades: attention knows the lag of what it attends to."""
    allocator, regimes = member(3, 4), beliefs(2, 12, 3)
    shuffled = regimes.clone()
    shuffled[:, :-1] = regimes[:, :-1].flip(1)
    aims = [allocator.read(allocator.state(one))[0][0, :, -1] for one in (regimes, shuffled)]
    assert (aims[0] - aims[1]).abs().max() > 1e-4


def test_attention_and_chains_do_not_depend_on_the_date(member, beliefs):
    """Far from the start, what came long before is forgotten up to what slow chains keep."""
    allocator = member(3, 4, **({"macro_horizon": 2.0} if member is HierarchicalPortfolioOptimizer else {}))
    recent = beliefs(1, 60, 3)
    longer = torch.cat([beliefs(1, 40, 3, "long ago"), recent], dim=1)
    aims = [allocator.read(allocator.state(one))[0][..., -1, :] for one in (recent, longer)]
    assert torch.allclose(*aims, atol=1e-6)


def test_everything_given_is_looked_at(member, beliefs):
    allocator, known = member(3, 4), world(beliefs)
    everything = allocator(**known)
    for name in ("forecast", "features", "previous", "returns"):
        assert (allocator(**known | {name: None}) - everything).abs().max() > 1e-5, name


def test_regimes_that_stay_are_the_forecast_where_none_is_given(member, beliefs):
    allocator, regimes = member(3, 4), beliefs(2, 6, 3)
    assert torch.equal(allocator(regimes), allocator(regimes, forecast=regimes))


@pytest.mark.parametrize(
    "constraint",
    [
        LongOnly(max_weight=0.3),
        LongOrCash(max_weight=0.4),
        LongShort(net=0.5, gross=1.2, max_weight=0.5),
        LeverageCapped(leverage=1.5),
    ],
    ids=lambda one: one.kind,
)
def test_limits_hold_at_every_time(member, constraint, beliefs):
    known = world(beliefs)
    for dtype, within in ((torch.float32, 1e-6), (torch.float64, 1e-12)):
        weights = member(3, 4, constraint=constraint).to(dtype)(**known)
        assert weights.dtype == dtype
        assert torch.allclose(constraint.project(weights), weights, rtol=0, atol=within)


def test_initial_values_follow_from_the_seed_alone(member, beliefs):
    regimes, before = beliefs(2, 5, 3), torch.get_rng_state()
    torch.manual_seed(1)
    one = member(3, 4, random_state=5)(regimes)
    torch.manual_seed(2)
    same, other = member(3, 4, random_state=5)(regimes), member(3, 4, random_state=6)(regimes)
    torch.manual_seed(2)
    assert torch.equal(torch.get_rng_state(), torch.Generator().manual_seed(2).get_state())
    torch.set_rng_state(before)
    assert torch.equal(one, same)
    assert not torch.allclose(one, other)


def test_every_parameter_learns(member, beliefs):
    allocator, known = member(3, 4, hidden_dim=8).train(), world(beliefs, batch=6)
    allocator.loss(allocator(**known), known["returns"]).backward()
    silent = [name for name, one in allocator.named_parameters() if one.grad is None or not one.grad.abs().sum() > 0]
    owned = EnsemblePortfolioOptimizer is member  # a small batch may leave a member without a sequence
    assert not silent or owned


def test_allocators_serve_functional_transforms(member, beliefs):
    """Meta-learning differentiates through steps of training, twice."""
    allocator, regimes = member(3, 3, hidden_dim=4).double(), beliefs(1, 4, 3).double()
    returns = 0.02 * draws(1, 4, 3).double()
    values = dict(allocator.named_parameters())
    name = next(iter(values))

    def loss(value):
        weights = torch.func.functional_call(allocator, values | {name: value}, (regimes,))
        return allocator.loss(weights, returns)

    point = values[name].detach()
    slope = torch.func.grad(lambda value: torch.func.grad(loss)(value).square().sum())(point)
    direction = draws(*point.shape).double()
    ahead, behind = (torch.func.grad(loss)(point + sign * 1e-5 * direction).square().sum() for sign in (1, -1))
    assert (slope * direction).sum().item() == pytest.approx((ahead - behind).item() / 2e-5, rel=1e-4, abs=1e-9)


def test_trading_costs_and_another_loss_enter_the_loss(beliefs):
    weights, returns = beliefs(2, 30, 4), 0.01 * draws(2, 30, 4)
    free, costly = (AttentionPortfolioOptimizer(3, 4, transaction_costs=cost) for cost in (0.0, 0.01))
    assert costly.loss(weights, returns) > free.loss(weights, returns) + 0.1

    def mine(weights, returns, *, cost_rate):
        return cost_rate + weights.sum()

    own = AttentionPortfolioOptimizer(3, 4, transaction_costs=0.25, loss=mine)
    assert own.loss(weights, returns).item() == pytest.approx(0.25 + weights.sum().item())


def test_leverage_that_the_constraint_allows_is_not_charged():
    constraint = LeverageCapped(leverage=3.0, max_weight=1.5)
    allocator = AttentionPortfolioOptimizer(3, 2, constraint=constraint)
    returns = 0.01 * draws(1, 40, 2)
    single, double = (allocator.loss(size * torch.ones(1, 40, 2), returns) for size in (0.5, 1.0))
    assert (single - double).abs() < 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"K": 1}, "K=1 is too few; say at least 2"),
        ({"n_assets": 0}, "n_assets=0 is too few"),
        ({"heads": 3}, "heads=3 does not divide hidden_dim=64; say heads=2"),
        ({"lookback": 0}, "lookback=0 looks at nothing"),
        ({"windows": (0,)}, r"windows=\(0,\) are not numbers of returns"),
        ({"max_weight": 0.2}, "lets 4 assets hold 0.8 of wealth"),
        ({"max_weight": -1.0}, "max_weight=-1 is not above 0"),
        ({"max_weight": 0.5, "constraint": LongOnly()}, "set max_weight of long_only instead"),
        ({"transaction_costs": 10.0}, r"transaction_costs=10.0 is not a rate in \[0, 1\)"),
    ],
)
def test_settings_out_of_bounds_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        AttentionPortfolioOptimizer(**{"n_assets": 4} | settings)


def test_other_layouts_are_refused(beliefs):
    allocator = AttentionPortfolioOptimizer(3, 4)
    with pytest.raises(InputError, match=r"regimes have shape \(2, 3, 9\); give \(batch, time, 3\).*transpose"):
        allocator(beliefs(2, 9, 3).transpose(1, 2))
    for name, shape in {"forecast": (2, 9, 2), "features": (2, 9, 4), "previous": (4,), "returns": (2, 8, 4)}.items():
        with pytest.raises(InputError, match=f"{name} has shape"):
            allocator(beliefs(2, 9, 3), **{name: torch.zeros(shape)})
    with pytest.raises(InputError, match="number of assets is not known yet"):
        AttentionPortfolioOptimizer(3)(beliefs(2, 9, 3))
