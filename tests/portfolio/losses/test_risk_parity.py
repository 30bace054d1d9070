"""Contributions to risk: they add up, their loss knows no scale, and its minimum is the known one."""

import inspect

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.component import InputError
from praesidium.portfolio.losses import risk_parity_loss, variance_contributions
from praesidium.training.reproducibility import stream

LAW = settings(deadline=None, derandomize=True, max_examples=25)


def matrix(*lead, assets, name="matrix"):
    root = torch.randn(*lead, assets, assets + 2, dtype=torch.float64, generator=stream("tests", name))
    return 1e-4 * root @ root.mT


@LAW
@given(name=st.integers(0, 99), factor=st.sampled_from([1e-6, 1e4, 7.0]), assets=st.integers(1, 5))
def test_the_loss_knows_no_scale(draw, name, factor, assets):
    """Returns in percent make the covariance 1e4 times as large; the loss must not vanish or explode with it."""
    book, covariance = draw(name, assets=assets), matrix(assets=assets, name=name)
    loss = risk_parity_loss(book.held, covariance).item()
    assert risk_parity_loss(book.held, factor * covariance).item() == pytest.approx(loss, rel=1e-9, abs=1e-15)
    assert risk_parity_loss(factor * book.held, covariance).item() == pytest.approx(loss, rel=1e-9, abs=1e-15)


def test_contributions_are_the_euler_shares_of_variance(draw):
    book, covariance = draw("euler"), matrix(3, assets=4)
    weights = book.held.clone().requires_grad_()
    variance = torch.stack([w @ c @ w for w, c in zip(weights, covariance, strict=True)])
    (slope,) = torch.autograd.grad(variance.sum(), weights)
    shares = variance_contributions(book.held, covariance)
    assert torch.allclose(shares, (weights * slope / 2).detach())
    assert torch.allclose(shares.sum(-1), variance.detach())


def test_a_matrix_serves_all_one_sample_or_one_decision(draw):
    book, every = draw("layouts"), matrix(3, 12, assets=4)
    whole = variance_contributions(book.weights, every)
    for sample in range(3):
        assert torch.allclose(
            variance_contributions(book.weights[sample : sample + 1], every[sample : sample + 1, 5])[0, 5],
            whole[sample, 5],
        )
    assert torch.allclose(variance_contributions(book.weights, every[0, 0])[0, 0], whole[0, 0])
    assert torch.allclose(
        variance_contributions(book.held, every[:, 0]),
        variance_contributions(book.held.unsqueeze(1).expand(3, 12, 4), every)[:, 0],
    )


def test_inverse_volatility_is_the_minimum_of_uncorrelated_assets():
    variances = torch.tensor([1e-4, 4e-4, 9e-4], dtype=torch.float64)
    inverse = (1 / variances.sqrt()).unsqueeze(0)
    assert risk_parity_loss(inverse, variances.diag()).item() == pytest.approx(0, abs=1e-30)
    one_of_three = torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64)
    assert risk_parity_loss(one_of_three, variances.diag()).item() == pytest.approx(2 / 3)


def test_descent_finds_equal_contributions_of_correlated_assets():
    covariance = matrix(assets=4, name="descent")
    free = torch.zeros(1, 4, dtype=torch.float64, requires_grad=True)
    minimizer = torch.optim.LBFGS([free], max_iter=60, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def closure():
        minimizer.zero_grad()
        loss = risk_parity_loss(free.softmax(-1), covariance)
        loss.backward()
        return loss

    minimizer.step(closure)
    shares = variance_contributions(free.detach().softmax(-1), covariance)
    assert torch.allclose(shares / shares.sum(), torch.full((1, 4), 0.25, dtype=torch.float64), atol=1e-4)


def test_one_sample_and_one_asset_keep_their_shape():
    weights = torch.ones(1, 1, requires_grad=True)
    loss = risk_parity_loss(weights, torch.full((1, 1, 1), 1e-4))
    loss.backward()
    assert loss.item() == 0
    assert weights.grad is not None
    assert weights.grad.isfinite().all()


def test_double_precision_covariance_serves_single_precision_weights():
    covariance = matrix(assets=3)
    weights = torch.tensor([[0.2, 0.3, 0.5]])
    assert risk_parity_loss(weights, covariance).item() == pytest.approx(
        risk_parity_loss(weights.double(), covariance).item(), rel=1e-5
    )


def test_what_has_no_risk_or_does_not_fit_is_refused():
    with pytest.raises(InputError, match="1 of 2 portfolios have no variance"):
        risk_parity_loss(torch.tensor([[0.0, 0.0], [1.0, 0.0]]), torch.eye(2))
    for measure in (risk_parity_loss, variance_contributions):
        with pytest.raises(InputError, match=rf"{measure.__name__}: .*\(2, 3, 3\); give \(4, 4\) or \(3, 4, 4\)"):
            inspect.unwrap(measure)(torch.ones(3, 4), torch.ones(2, 3, 3))
        with pytest.raises(InputError, match=rf"{measure.__name__}: weights have shape \(4,\)"):
            inspect.unwrap(measure)(torch.ones(4), torch.eye(4))
