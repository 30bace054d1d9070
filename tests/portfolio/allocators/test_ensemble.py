"""Members of an ensemble: apart in start, sample and loss, one in what they hold."""

import pytest
import torch

from praesidium.component import InputError
from praesidium.portfolio.constraints import LongOnly
from praesidium.portfolio.ensemble import EnsemblePortfolioOptimizer
from praesidium.portfolio.fitting import observe, standardize, train


def small(**settings):
    return EnsemblePortfolioOptimizer(3, 4, 3, 8, heads=2, lookback=5, **settings)


def paths(allocator, regimes):
    state = allocator.state(regimes)
    return allocator.follow(*allocator.read(state), None, None)


def test_the_prediction_is_the_mean_and_disagreement_the_spread_of_members(beliefs):
    allocator, regimes = small(constraint=LongOnly(max_weight=0.4)), beliefs(2, 6, 3)
    members = paths(allocator, regimes)
    assert torch.allclose(allocator(regimes), sum(members) / 3)
    spread = allocator.disagreement(regimes)
    assert torch.allclose(spread.square(), ((members - members.mean(0)) ** 2).sum(0) / 2, atol=1e-7)
    assert spread.max() > 0.01
    assert torch.equal(allocator.disagreement(regimes[:, 0]), allocator.disagreement(regimes[:, :1])[:, 0])


def test_members_start_apart_and_learn_from_other_samples():
    allocator = small()
    first, second, third = (torch.cat([one.flatten() for one in part.parameters()]) for part in allocator.parts())
    assert not torch.allclose(first, second)
    assert not torch.allclose(second, third)
    pools = allocator.pools(100, 9)
    assert pools.shape == (3, 9)
    assert len({tuple(sorted(pool)) for pool in pools.tolist()}) == 3
    assert torch.equal(pools, small().pools(100, 9))


def test_each_member_has_a_loss_of_its_own(market, calm_model):
    """What one member learns does not depend on the others: the same in a smaller ensemble."""
    values = market.to_numpy()
    state = observe(calm_model().fit(values.mean(1)), values, regimes=3, windows=(21, 63))
    learned = []
    for members in (2, 3):
        allocator = EnsemblePortfolioOptimizer(3, 4, members, 8, heads=2, lookback=5)
        shared = EnsemblePortfolioOptimizer(3, 4, 3, 8, heads=2, lookback=5).pools(121, 4)[:members]
        allocator.pools = lambda starts, blocks, shared=shared: shared[:, :1]
        standardize(allocator, state)
        train(allocator, state, epochs=3, learning_rate=0.01, sequence=40, seed=0)
        learned.append(torch.cat([one.detach().flatten() for one in allocator.parts()[0].parameters()]))
    assert torch.allclose(*learned, atol=1e-7)


def test_in_a_training_loop_each_sequence_belongs_to_one_member(beliefs):
    """Else all members would share one loss, that of their mean, and nothing would keep them apart."""
    allocator, regimes = small().train(), beliefs(40, 3, 3)
    members = paths(allocator, regimes)
    owners = []
    for _ in range(2):
        weights = allocator(regimes)
        matches = torch.stack([(weights - member).abs().amax((1, 2)) < 1e-7 for member in members])
        assert (matches.sum(0) == 1).all()
        owners.append(matches.int().argmax(0))
    assert set(owners[0].tolist()) == {0, 1, 2}
    assert not torch.equal(*owners)
    assert torch.equal(allocator.eval()(regimes), small()(regimes))


def test_one_member_cannot_disagree():
    with pytest.raises(InputError, match="n_models=1 cannot disagree"):
        EnsemblePortfolioOptimizer(n_models=1)
