"""The adversarial loss: clean at no distance, worse within, and without traces in model or beliefs."""

import inspect
from itertools import pairwise

import pytest
import torch
from torch import nn

from praesidium.component import InputError
from praesidium.portfolio.losses import advanced_portfolio_loss, adversarial_portfolio_loss, sharpe_loss
from praesidium.training.reproducibility import stream


class Rule(nn.Module):
    """Softmax of a linear map of beliefs, which remembers the beliefs that it was asked about."""

    def __init__(self, regimes=3, assets=4):
        super().__init__()
        generator = stream("tests", "rule")
        self.matrix = nn.Parameter(torch.randn(regimes, assets, dtype=torch.float64, generator=generator))
        self.seen = []

    def forward(self, regimes):
        self.seen.append(regimes.detach().clone())
        return (regimes @ self.matrix).softmax(-1)


def test_at_no_distance_it_is_exactly_the_clean_loss(draw):
    """A softmax of probabilities made (.98, .01, .01) into (.57, .22, .22) without any attack."""
    book, rule = draw("clean"), Rule()
    sure = torch.tensor([0.98, 0.01, 0.01], dtype=torch.float64).expand(3, 12, 3)
    for probs in (book.probs, sure):
        loss = adversarial_portfolio_loss(rule, probs, book.returns, epsilon=0.0)
        assert torch.equal(loss, advanced_portfolio_loss(rule(probs), book.returns))
        assert all(torch.equal(seen, probs) for seen in rule.seen)
        rule.seen.clear()


def test_it_mixes_the_clean_loss_with_one_that_grows_with_the_ball(draw):
    book, rule = draw("grows", time=40), Rule()
    clean = sharpe_loss(rule(book.probs), book.returns)

    def mixed(epsilon, share):
        return adversarial_portfolio_loss(
            rule, book.probs, book.returns, epsilon=epsilon, adversarial_weight=share, loss=sharpe_loss
        )

    worst = [mixed(epsilon, 1.0) for epsilon in (0.0, 0.05, 0.2, 0.6)]
    assert worst[0] == clean
    assert all(nearer < farther for nearer, farther in pairwise(worst))
    assert mixed(0.2, 0.5).item() == pytest.approx((clean + worst[2]).item() / 2)
    assert mixed(0.2, 0.0) == clean


def test_all_beliefs_it_asks_about_are_distributions_in_the_ball(draw):
    book, rule = draw("ball"), Rule()
    adversarial_portfolio_loss(rule, book.probs, book.returns, epsilon=0.1)
    for seen in rule.seen:
        assert (seen >= 0).all()
        assert torch.allclose(seen.sum(-1), torch.ones(3, 12, dtype=torch.float64))
        assert (seen - book.probs).abs().sum(-1).max() <= 2 * 0.1 + 1e-12


def test_the_search_leaves_no_trace(draw):
    book, rule = draw("trace"), Rule()
    loss = adversarial_portfolio_loss(rule, book.probs, book.returns, epsilon=0.1)
    assert rule.matrix.grad is None
    assert book.probs.grad is None
    assert not book.probs.requires_grad
    loss.backward()
    assert rule.matrix.grad is not None
    assert rule.matrix.grad.abs().max() > 0


def test_the_gradient_of_parameters_is_that_of_both_losses(draw):
    """Envelope: with the worst beliefs fixed, the mixed loss is half of each."""
    book, rule = draw("envelope"), Rule()
    loss = adversarial_portfolio_loss(rule, book.probs, book.returns, epsilon=0.1)
    (slope,) = torch.autograd.grad(loss, rule.matrix)
    worst = rule.seen[-1]
    halves = [advanced_portfolio_loss(rule(probs), book.returns) / 2 for probs in (book.probs, worst)]
    (expected,) = torch.autograd.grad(halves[0] + halves[1], rule.matrix)
    assert torch.allclose(slope, expected)


def test_what_does_not_fit_is_refused(draw):
    book, rule = draw("refused"), Rule()
    with pytest.raises(InputError, match=r"adversarial_portfolio_loss: regime_probs have shape \(3, 3, 12\)"):
        inspect.unwrap(adversarial_portfolio_loss)(rule, book.probs.transpose(1, 2), book.returns, epsilon=0.1)
    with pytest.raises(InputError, match=r"adversarial_weight=2 is not in \[0, 1\]"):
        adversarial_portfolio_loss(rule, book.probs, book.returns, epsilon=0.1, adversarial_weight=2)
    with pytest.raises(InputError, match="epsilon=3"):
        adversarial_portfolio_loss(rule, book.probs, book.returns, epsilon=3)
