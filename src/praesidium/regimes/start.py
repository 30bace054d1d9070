"""Where the training of a VQ-VAE-HMM starts: at the maximum likelihood that EM finds, not at random.

Gradient steps on a hidden Markov model from random values end in poor maxima, or with one regime for everything. So
all parts of the model are placed by the training data first, the generative ones by EM with exact inference, the
recognition ones so as to imitate the generative ones. Gradient steps then move everything together.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from praesidium.data.chunks import Chunks
from praesidium.regimes import hmm
from praesidium.regimes.emissions import Emission, Law
from praesidium.regimes.quantizer import Quantizer
from praesidium.regimes.vae_hmm import VAE_HMM
from praesidium.training.descent import adam, descend

SHORT, LONG, TOLERANCE = 12, 200, 1e-6  # iterations from each partition, from the best one; least gain, nats a time
WINDOWS = (5, 21)  # times over which local means and deviations are taken to tell regimes apart
LEAST = 1e-3  # a variance in a regime is at least this share of the training variance
REACH = 12.0  # evidence against a regime, in nats, that the encoder is asked for at most
ROUNDS, STEPS, RATE = 6, 25, 1e-2  # of the fit of input-driven transitions


class Fit(NamedTuple):
    """A hidden Markov model without inputs, and its log-likelihood a time before the last step."""

    initial: Float[Tensor, " regimes"]
    transition: Float[Tensor, "regimes regimes"]
    law: Law
    score: float


@torch.no_grad()
def start(model: VAE_HMM, chunks: Chunks, held_out: Chunks | None) -> None:
    """Place a model by whole training sequences; regimes come in the order of the first feature's volatility.

    1. Standardizers take their statistics.
    2. EM from several partitions of the times; the most likely end is kept.
    3. With inputs, and a held-out part to stop by: generalized EM of the transitions (Bengio and Frasconi 1995).
    4. The encoder's last layer is solved for the evidence log p(x_t | k), and k-means places the codes.
    """
    x, u, lengths = chunks
    mask = chunks.mask
    model.training_times.fill_(int(mask.sum()))
    for part in (model.encoder, model.decoder):
        part.standardizer.fit(x, mask)
    rows = torch.where(mask.unsqueeze(-1), x.double().transpose(1, 2), torch.nan)
    fit = expectation_maximization(model, rows, lengths)
    model.prior.set(fit.initial, fit.transition)
    model.decoder.set(fit.law)
    model.permute(model.volatility().argsort())
    if u is not None and model.u_dim is not None:
        model.prior.standardizer.fit(u, mask)
        if held_out is not None:
            drive(model, chunks, held_out)
    evidence = model.decoder.log_prob(torch.where(mask.unsqueeze(1), x, 0.0))
    evidence = (evidence - evidence.amax(-1, keepdim=True)).clamp(min=-REACH)
    observed = mask & ~x.isnan().all(1)
    model.encoder.solve(x, evidence - evidence.mean(-1, keepdim=True), observed)
    model.quantizer.start(model.encode(x).transpose(1, 2)[observed])


def expectation_maximization(
    model: VAE_HMM, rows: Float[Tensor, "batch time channels"], lengths: Int[Tensor, " batch"]
) -> Fit:
    """The most likely fit of a chain without inputs, among those that different partitions of the times lead to."""
    flat = rows.flatten(0, 1)
    known = ~flat.isnan().all(-1)
    mean, deviation = model.decoder.standardizer.mean, model.decoder.standardizer.deviation
    wide = Law(
        mean.expand(model.K, -1),
        2 * deviation.log().expand(model.K, -1),
        torch.full_like(mean[:1], 8.0).expand(model.K),
    )
    floor = wide.log_scale + torch.tensor(LEAST).log()
    fits = []
    for labels in _partitions((rows - mean) / deviation, model.K, model.settings["seed"]):
        weight = torch.nn.functional.one_hot(labels, model.K).double() * known.unsqueeze(-1)
        law = model.decoder.emission.maximize(flat, weight, wide)
        stay = 0.1 / model.K + 0.9 * torch.eye(model.K, dtype=rows.dtype, device=rows.device)
        fit = Fit(stay.mean(0), stay, law, -torch.inf)
        fits.append(_climb(fit, model, rows, lengths, floor, SHORT))
    return _climb(max(fits, key=lambda one: one.score), model, rows, lengths, floor, LONG)


def _climb(fit: Fit, model: VAE_HMM, rows: Tensor, lengths: Tensor, floor: Tensor, iterations: int) -> Fit:
    """EM until the likelihood stands still; each row of A has one move, and pi one sequence, observed beforehand."""
    emission: Emission = model.decoder.emission
    inside = torch.arange(rows.shape[1], device=rows.device) < lengths.unsqueeze(-1)
    flat, times = rows.flatten(0, 1), int(lengths.sum())
    stays = model.pseudo_stays * torch.eye(model.K, dtype=rows.dtype, device=rows.device)
    score = -torch.inf
    for _ in range(iterations):
        likelihood = emission.log_density(rows, fit.law)
        found = hmm.smoothed(fit.initial.log(), fit.transition.log(), likelihood, lengths=lengths)
        score, before = float(found.log_normalizer.sum()) / times, score
        gamma = found.marginals * inside.unsqueeze(-1)
        law = emission.maximize(flat, gamma.flatten(0, 1), fit.law)
        moves = found.pairs.sum((0, 1)) + stays + 1 / model.K
        share = gamma.sum((0, 1)) / times
        initial = gamma[:, 0].sum(0) + share.clamp(min=1e-6)
        law = law._replace(log_scale=torch.maximum(law.log_scale, floor))
        fit = Fit(initial / initial.sum(), moves / moves.sum(-1, keepdim=True), law, score)
        if score - before < TOLERANCE:
            break
    return fit


def _partitions(z: Float[Tensor, "batch time channels"], count: int, seed: int) -> Iterator[Int[Tensor, " rows"]]:
    """Guesses of the regime of each time: by volatility, and by k-means on levels and on local means and deviations."""
    known = z.nan_to_num(nan=0.0).clamp(-5, 5)
    views = [known]
    for window in WINDOWS:
        level = _local(known, window)
        spread = _local((known - level).square(), window).clamp(min=1e-3).log()
        calm = spread.mean(-1)
        yield (calm.flatten().argsort().argsort() * count) // calm.numel()
        views.append(torch.cat([level, spread], dim=-1))
    for place, view in enumerate(views):
        points = view.flatten(0, 1)
        clusters = Quantizer(count, points.shape[-1], seed=seed + place).to(points.device)
        clusters.start(points)
        yield clusters.nearest(points)


def _local(x: Float[Tensor, "batch time channels"], window: int) -> Float[Tensor, "batch time channels"]:
    """Mean over a window around each time, of what lies inside the sequence."""
    window = min(window, 2 * x.shape[1] - 1)
    return torch.nn.functional.avg_pool1d(x.mT, window, stride=1, padding=window // 2, count_include_pad=False).mT


@torch.enable_grad()
def drive(model: VAE_HMM, chunks: Chunks, held_out: Chunks) -> None:
    """Let inputs move the transitions, as long as every round gains a nat in the held-out part.

    A round takes the expected moves p(z_t, z_{t+1} | x) of the chain as it stands, and climbs their expected
    log-probability, sum p(z_t, z_{t+1} | x) log A(u_t).
    """
    x, u, lengths = chunks
    prior, times = model.prior, int(lengths.sum())
    optimizer = adam(prior, RATE, "drive")
    best, kept, nat = score(model, held_out), copy.deepcopy(prior.state_dict()), 1 / int(held_out[2].sum())
    for _ in range(ROUNDS):
        with torch.no_grad():
            pairs = hmm.smoothed(*model.hmm_arguments(x, u, lengths), lengths=lengths).pairs
        for _ in range(STEPS):
            descend(optimizer, -(pairs * prior(u).log_transition).sum() / times, "drive")
        if (now := score(model, held_out)) < best + nat:
            break
        best, kept = now, copy.deepcopy(prior.state_dict())
    prior.load_state_dict(kept)


@torch.no_grad()
def score(model: VAE_HMM, chunks: Chunks) -> float:
    """Exact log-likelihood a time of sequences, in nats."""
    x, u, lengths = chunks
    return float(model.log_likelihood(x, u, lengths).sum() / lengths.sum())
