"""Training of hedgers on the prices of two legs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from praesidium.component import check_whole
from praesidium.policies.hedge_data import NAME, HedgeData
from praesidium.policies.hedge_loss import AVERSION, check_terms, delta_hedge_loss
from praesidium.policies.hedge_ratio import minimum_variance_hedge_ratio
from praesidium.policies.hedger import RegimeHedger
from praesidium.training.descent import adam, descend
from praesidium.training.pieces import Filtering
from praesidium.training.schedule import cosine

H = TypeVar("H", bound=RegimeHedger)


def train_delta_hedger(
    hedger: H,
    vae_hmm: Filtering,
    spot_data: Any,
    futures_data: Any,
    num_epochs: int = 50,
    lr: float = 0.001,
    *,
    features: Any | None = None,
    transition: Tensor | None = None,
    cost_rate: float | None = None,
    risk: str = "variance",
    risk_aversion: float = AVERSION,
    level: float = 0.95,
    window: int = 60,
    batches: int = 8,
    seed: int = 0,
    log: Callable[[dict[str, float]], None] | None = None,
) -> H:
    """Teach a hedger by which ratio a future takes most of the risk from its asset, given the regime.

    Regimes are ``vae_hmm.filter(x, None, lengths)``, without a graph. The ratio decided at t earns the returns from t
    to t + 1. First the ratio of least variance over all data becomes the textbook that the network corrects, and the
    deviation of the spot's log returns the unit of its price features. Then Adam takes :func:`delta_hedge_loss`, in
    units of that of no hedge, down over windows of the data, each with the textbook held at its start; the rate falls
    to 2 % along half a cosine.

    Args:
        hedger: trained in place.
        vae_hmm: gives the regimes; it is not changed.
        spot_data, futures_data: prices of the same times, (T, n) or (B, T, n); of pandas, rows of the same dates.
        num_epochs: passes over the data.
        lr: rate of Adam, at its largest.
        features: x of the filter, (C, T) or (B, C, T), of the times of the prices. Where left out, the simple returns
            of the spot; the first time, which has none, is then left out.
        transition: A, (K, K); estimated from the filtered regimes where left out.
        cost_rate: proportional cost of what is traded in the futures, one way; the hedger's own where left out.
        risk, risk_aversion, level: of :func:`delta_hedge_loss`.
        window: times of a window.
        batches: steps of an epoch, to which the windows are dealt out.
        seed: of the order of windows; global random numbers are neither used nor changed.
        log: called after each epoch with ``epoch`` and ``loss``, its mean over batches.

    Returns:
        The hedger, in evaluation mode.

    Raises:
        InputError: if shapes or dates do not fit, a price is not positive, a leg never moves, a number is out of
            bounds, or the filter reads something else than it is given.
        FloatingPointError: if a loss or its gradient is not finite; the sentence names the epoch.
    """
    for argument, value, least in (("num_epochs", num_epochs, 1), ("window", window, 3), ("batches", batches, 1)):
        check_whole(NAME, argument, value, least=least)
    rate = hedger.cost_rate if cost_rate is None else cost_rate
    check_terms(NAME, cost_rate=rate, risk=risk, risk_aversion=risk_aversion)
    exact = HedgeData.of(
        spot_data,
        futures_data,
        vae_hmm,
        K=hedger.K,
        n_assets=hedger.n_assets,
        features=features,
        transition=transition,
    )
    data = exact.to(hedger.textbook)
    terms = {"cost_rate": rate, "risk": risk, "risk_aversion": risk_aversion, "level": level}
    naked = abs(_risk(torch.zeros_like(data.spot_returns), data, None, terms).item())  # a CVaR may be a gain
    optimizer = adam(hedger.train(), lr, NAME)
    _start(hedger, exact)
    for epoch in range(num_epochs):
        for group in optimizer.param_groups:
            group["lr"] = lr * cosine(epoch, num_epochs)
        losses = []
        for piece in data.batches(batches, window=window, seed=seed, epoch=epoch):
            loss = _risk(hedger.ratios(piece.known), piece, hedger.textbook, terms) / naked
            losses.append(descend(optimizer, loss, f"{NAME}: epoch {epoch + 1}"))
        if log is not None:
            log({"epoch": epoch + 1, "loss": sum(losses) / len(losses)})
    return hedger.eval()


def _start(hedger: RegimeHedger, data: HedgeData) -> None:
    """Learn the ratio of least variance, and the deviation of the spot."""
    spot, futures = (one[:, 1:].flatten(0, 1) for one in (data.spot_returns, data.futures_returns))
    one_regime = torch.ones(len(spot), 1, dtype=spot.dtype)
    hedger.textbook.copy_(minimum_variance_hedge_ratio(spot, futures, one_regime))
    hedger.deviation.copy_(data.known.spot.log().diff(dim=1).flatten(0, 1).std(0).clamp(min=1e-12))


def _risk(ratios: Tensor, data: HedgeData, previous: Tensor | None, terms: dict[str, Any]) -> Tensor:
    return delta_hedge_loss(ratios, data.spot_returns, data.futures_returns, previous=previous, **terms)
