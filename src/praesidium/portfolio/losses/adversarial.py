"""Robustness to beliefs that are wrong."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

from praesidium.component import InputError
from praesidium.portfolio.losses.arguments import check_beliefs
from praesidium.portfolio.losses.composite import advanced_portfolio_loss
from praesidium.training.adversarial import perturb, repeatable


def adversarial_portfolio_loss(
    model: Callable[[Tensor], Tensor],
    regime_probs: Float[Tensor, "batch times regimes"],
    returns: Float[Tensor, "batch times assets"],
    *,
    epsilon: float,
    steps: int = 3,
    adversarial_weight: float = 0.5,
    loss: Callable[[Tensor, Tensor], Tensor] = advanced_portfolio_loss,
) -> Float[Tensor, ""]:
    """L(p) + a (max_q L(q) - L(p)): the clean loss, and a share of what the worst beliefs near it add.

    L(q) = loss(model(q), returns), and q is within ``epsilon`` of p in total variation at each time, a distribution
    itself (:func:`praesidium.training.adversarial.perturb`). Never below L(p), and exactly L(p) where ``epsilon`` is 0.
    The search takes no gradient of parameters. Beliefs that require a gradient have it through L(p) alone.

    Args:
        model: regime probabilities (B, T, K) to weights (B, T, n); a module that draws as it is called makes the same
            draws for all beliefs, a function gives the same weights for the same beliefs.
        regime_probs: filtered probabilities p, known at t.
        returns: simple returns a period; weights at t earn those of t + 1.
        epsilon: probability mass that may be moved at each time, in [0, 1].
        steps: gradient steps of the search.
        adversarial_weight: a in [0, 1]; 0.5 counts clean and worst loss alike, 1 the worst alone.
        loss: of (weights, returns); fix further arguments with ``functools.partial``.

    Raises:
        InputError: if shapes do not fit, the beliefs are no distributions, or a number is out of bounds.

    Source: Madry et al. 2018, eq. 2.1; mixed with the clean loss as in Goodfellow et al. 2015, section 6.
    """
    check_beliefs("adversarial_portfolio_loss", regime_probs, returns)
    if not 0 <= adversarial_weight <= 1:
        raise InputError(
            f"adversarial_portfolio_loss: adversarial_weight={adversarial_weight:g} is not in [0, 1]; "
            "0.5 counts clean and worst loss alike"
        )

    decide = repeatable(model) if isinstance(model, nn.Module) else model

    def under(beliefs: Tensor) -> Tensor:
        return loss(decide(beliefs), returns)

    clean = under(regime_probs)
    worst = under(perturb(under, regime_probs, epsilon=epsilon, steps=steps))
    return clean + adversarial_weight * (worst - clean)
