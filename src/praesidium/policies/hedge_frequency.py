"""How often to rehedge an option: costs against what is left unhedged."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float, Real
from torch import Tensor

from praesidium.component import InputError, check_whole

DAYS = 252  # trading days a year


def leland_number(volatility: Float[Tensor, "*batch"], *, cost_rate: float, interval: float) -> Float[Tensor, "*batch"]:
    """Le = sqrt(8 / pi) k / (sigma sqrt(dt)): delta at the variance sigma^2 (1 + Le) pays for its own trading.

    Args:
        volatility: sigma, annualized.
        cost_rate: k, proportional cost of a trade, one way.
        interval: dt, trading days from one rehedging to the next.

    Source: Leland 1985, where the cost is that of a round trip, 2 k.
    """
    return math.sqrt(8 / math.pi) * cost_rate / (volatility * math.sqrt(interval / DAYS))


def optimal_hedge_frequency(
    regime_probs: Real[Tensor | np.ndarray, "*batch regimes"],
    transition_matrix: Real[Tensor | np.ndarray, "regimes regimes"],
    volatilities: Real[Tensor | np.ndarray, "*regimes"],
    *,
    cost_rate: float,
    dollar_gamma: float,
    risk_aversion: float,
    horizon: int = 21,
) -> Float[Tensor, "*batch"]:
    """Rehedgings a year, 1 / dt: of all fixed intervals dt the one that is least bad.

    With G = Gamma S^2 and proportional cost k, an interval dt costs sqrt(2 / pi) k G sigma / sqrt(dt) a year (which is
    G sigma^2 Le / 2 with :func:`leland_number`) and leaves a hedging error of variance G^2 sigma^4 dt / 2 a year.
    Cost + a / 2 variance is least at

        dt = (sqrt(8 / pi) k E[sigma] / (a G E[sigma^4]))^(2/3),

    in one regime (sqrt(8 / pi) k / (a G))^(2/3) / sigma^2. E is the mean over the regimes of the days of the horizon as
    they are expected now, weights mean_s p A^s: the longer regimes last, the closer the optimum is to that of the
    regime of now, and where none is ever left it is that one. Dearer trades are made less often, volatile regimes are
    hedged more often.

    Args:
        regime_probs: p, filtered probability of each regime now; all is computed in its precision, or in double where
            it is of whole numbers.
        transition_matrix: A, (K, K), for one trading day; a row for each regime now.
        volatilities: (K), annualized, of each regime.
        cost_rate: k, one way.
        dollar_gamma: G of the option book, in money: what delta in money changes by for a relative move of one.
        risk_aversion: a, per unit of money, as of :class:`~praesidium.policies.whalley_wilmott.WhalleyWilmott`.
        horizon: trading days for which the frequency is to hold.

    Returns:
        Rehedgings a year of 252 trading days; 252 divided by it is the interval in days. Infinite without costs.

    Raises:
        InputError: if a number is out of its bounds or shapes do not fit.

    Source: Leland 1985 for the cost, Boyle and Emanuel 1980 for the error; the regimes are ours.
    """
    from praesidium.regimes.belief import check_probabilities, check_transition  # noqa: PLC0415  (scikit-learn)

    name, given = "optimal_hedge_frequency", (regime_probs, transition_matrix, volatilities)
    belief, chain, sigma = (one if isinstance(one, Tensor) else torch.tensor(one) for one in given)
    belief = belief if belief.is_floating_point() else belief.double()
    chain, sigma = chain.to(belief), sigma.to(belief)
    if sigma.ndim != 1:
        raise InputError(f"{name}: volatilities have shape {tuple(sigma.shape)}; give one for each regime, (K)")
    K = len(sigma)
    check_probabilities(name, belief.reshape(-1, 1, belief.shape[-1]), K)
    check_transition(name, chain, K)
    check_whole(name, "horizon", horizon, least=1)
    for argument, value in (("dollar_gamma", dollar_gamma), ("risk_aversion", risk_aversion)):
        if not value > 0:
            raise InputError(f"{name}: {argument}={value:g} is not above 0")
    if not 0 <= cost_rate < 1:
        raise InputError(f"{name}: cost_rate={cost_rate:g} is not a rate in [0, 1); for 5 bp say 0.0005")
    if not bool((sigma.isfinite() & (sigma > 0)).all()):
        said = f"{name}: volatilities {sigma.tolist()} are not all above 0 and finite"
        raise InputError(f"{said}; annualized, such as 0.2")
    days = [belief]
    for _ in range(horizon - 1):
        days.append(days[-1] @ chain)
    weights = torch.stack(days).mean(0)
    trade, error = weights @ sigma, weights @ sigma**4
    return (risk_aversion * dollar_gamma * error / (math.sqrt(8 / math.pi) * cost_rate * trade)) ** (2 / 3)
