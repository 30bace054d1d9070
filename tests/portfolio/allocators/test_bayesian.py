"""The posterior of the Bayesian allocator: divergence, calibration to data, decisions."""

import math

import numpy as np
import pytest
import torch

from praesidium.component import InputError
from praesidium.data.chunks import RandomChunkDataset, collate_fn
from praesidium.portfolio.bayesian import BayesianPortfolioOptimizer
from praesidium.portfolio.constraints import LongOnly
from praesidium.training import train_advanced_portfolio
from praesidium.training.reproducibility import stream

TARGETS = torch.tensor([[[0.7, 0.2, 0.1]], [[0.1, 0.2, 0.7]]])


def fitted(observations):
    """Learns what to hold in the first two regimes, and has never seen the last one."""

    def miss(weights, returns, *, cost_rate):
        return 100 * (weights - TARGETS).square().sum(-1).mean()

    settings = {"prior_scale": 0.5, "temperature": 1.0, "n_observations": observations, "loss": miss}
    allocator = BayesianPortfolioOptimizer(3, 3, 8, 30, windows=(), **settings).train()
    regimes = torch.eye(3)[:2].unsqueeze(1)
    optimizer = torch.optim.Adam(allocator.parameters(), lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        allocator.loss(allocator(regimes), torch.zeros(2, 1, 3)).backward()
        optimizer.step()
    return allocator.eval()


@pytest.fixture(scope="module")
def posteriors():
    return {observations: fitted(observations) for observations in (10, 1000)}


def test_the_divergence_is_that_of_sampling():
    """KL(q, p) = E_q[log q - log p], over draws of all parameters."""
    allocator = BayesianPortfolioOptimizer(2, 2, 2, windows=(), prior_scale=0.8).double()
    with torch.no_grad():
        for one in allocator.log_deviations:
            one.add_(0.3 * torch.randn(one.shape, generator=stream("tests", "deviations"), dtype=one.dtype))
    generator, layers = stream("tests", "posterior"), dict(allocator.network.named_modules())
    gaps = []
    with torch.no_grad():
        for _ in range(250):
            gap = 0.0
            drawn = allocator.draw(generator)
            for (name, value), log_deviation in zip(drawn.items(), allocator.log_deviations, strict=True):
                prior = 0.8 / max(layers[name.rpartition(".")[0]].weight.shape[1], 1) ** 0.5
                noise = (value - allocator.network.get_parameter(name)) / log_deviation.exp()
                gap += (
                    ((value / prior).square() / 2 - noise.square() / 2 + math.log(prior) - log_deviation).sum().item()
                )
            gaps.append(gap)
    gaps = torch.tensor(gaps)
    error = gaps.std() / len(gaps) ** 0.5
    assert abs(gaps.mean() - allocator.divergence().item()) < 4 * error
    assert allocator.divergence() > 20 * error


def test_the_divergence_enters_the_loss_by_the_number_of_observations(beliefs):
    weights, returns = beliefs(2, 10, 4), torch.zeros(2, 10, 4)
    few, many = (BayesianPortfolioOptimizer(3, 4, temperature=1.0, n_observations=count) for count in (10, 40))
    batch, warm = (BayesianPortfolioOptimizer(3, 4, temperature=heat) for heat in (1.0, 3.0))
    divergence = few.divergence().item()
    assert (few.loss(weights, returns) - many.loss(weights, returns)).item() == pytest.approx(divergence * 3 / 40)
    assert (batch.loss(weights, returns) - many.loss(weights, returns)).item() == pytest.approx(
        divergence / 40, rel=1e-4
    )
    assert (warm.loss(weights, returns) - batch.loss(weights, returns)).item() == pytest.approx(divergence / 10)
    few.loss(weights, returns).backward()
    assert all(one.grad.abs().sum() > 0 for one in few.log_deviations)


class Read:
    """A filter that takes observations for logits of the regimes."""

    def filter(self, x, u, lengths):
        return x.mT.softmax(-1)


@pytest.mark.parametrize("adversarial", [False, True])
@pytest.mark.parametrize("shortest", [10, 40])
def test_the_divergence_counts_once_a_step_over_all_rows_of_the_batch(shortest, adversarial):
    """However the lengths of pieces differ, and with an adversary too."""
    x = torch.randn(3, 300, generator=stream("tests", "pieces"))
    returns = 0.01 * torch.randn(300, 3, generator=stream("tests", "returns"))
    batches = [collate_fn(list(RandomChunkDataset([x], min_len=shortest, max_len=40, length=8)))]
    losses = []
    for temperature in (1.0, 3.0):
        model = BayesianPortfolioOptimizer(3, 3, hidden_dim=4, temperature=temperature)
        settings = {"num_epochs": 1, "lr": 0.0, "use_adversarial": adversarial, "epsilon": 0.0}
        train_advanced_portfolio(
            model, Read(), batches, returns, **settings, log=lambda row: losses.append(row["loss"])
        )
    rows = int(batches[0][2].sum())
    assert losses[1] - losses[0] == pytest.approx(2 * model.divergence().item() / rows, rel=1e-3)


def test_a_posterior_equal_to_the_prior_has_no_divergence():
    allocator = BayesianPortfolioOptimizer(3, 4)
    with torch.no_grad():
        for (mean, prior), log_deviation in zip(allocator._means_and_priors(), allocator.log_deviations, strict=True):
            mean.zero_()
            log_deviation.fill_(math.log(prior))
    assert allocator.divergence().item() == pytest.approx(0, abs=1e-3)


def test_more_data_is_less_uncertainty(posteriors):
    seen = torch.eye(3)[:2]
    few, many = (posteriors[count].predict_distribution(seen) for count in (10, 1000))
    assert many.std.mean() < 0.6 * few.std.mean()
    assert (many.mean - TARGETS.squeeze(1)).abs().max() < 0.1


def test_fit_leaves_less_open_the_more_returns_it_sees(calm_model):
    """And the best portfolio of independent assets, in proportion to their mean, is about a deviation away."""
    means = np.array([0.12, 0.06, 0.02, 0.0])
    shocks = np.random.default_rng(6).standard_normal((2400, 4)) + means
    distances, deviations = [], []
    for rows in (150, 2400):
        allocator = BayesianPortfolioOptimizer(3, n_samples=30, regime_model=calm_model()).fit(0.01 * shocks[:rows])
        with torch.no_grad():
            mean, std = (one.mean((0, 1)).numpy() for one in allocator.predict_distribution(torch.eye(3).unsqueeze(0)))
        distances.append(np.linalg.norm(mean - means / means.sum()))
        deviations.append(np.linalg.norm(std))
    assert deviations[1] < 0.85 * deviations[0]
    assert distances[1] < 0.85 * distances[0]
    assert all(away < 1.5 * std for away, std in zip(distances, deviations, strict=True))


def test_far_from_the_data_is_more_uncertainty(posteriors):
    std = posteriors[1000].predict_distribution(torch.eye(3)).std.mean(-1)
    assert std[2] > 2 * std[:2].max()


def test_training_does_not_wipe_the_uncertainty_out(posteriors):
    """Without the divergence the deviations would fall without end."""
    assert min(one.exp().min() for one in posteriors[1000].log_deviations if one.numel()) > 1e-3


def test_decisions_are_means_over_networks_and_the_same_at_each_call(beliefs):
    allocator, regimes = BayesianPortfolioOptimizer(3, 4, constraint=LongOnly(max_weight=0.4)), beliefs(2, 6, 3)
    mean, std = allocator.predict_distribution(regimes)
    assert torch.equal(allocator(regimes), mean)
    assert torch.equal(allocator(regimes), allocator(regimes))
    assert mean.max() <= 0.4 + 1e-6
    assert std.min() > 0
    state = allocator.state(regimes)
    paths = allocator.follow(*allocator.read(state), None, None)
    assert len(paths) == 10
    assert torch.allclose(paths.mean(0), mean)


def test_in_training_each_call_draws_one_network(beliefs):
    allocator, regimes = BayesianPortfolioOptimizer(3, 4).train(), beliefs(2, 6, 3)
    assert not torch.allclose(allocator(regimes), allocator(regimes))
    with pytest.raises(InputError, match=r"call eval\(\) first"):
        allocator.predict_distribution(regimes)


@pytest.mark.parametrize("wrong", [{"n_samples": 1}, {"prior_scale": 0.0}, {"temperature": 0.0}, {"n_observations": 0}])
def test_settings_out_of_bounds_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        BayesianPortfolioOptimizer(**wrong)
