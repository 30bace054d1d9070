"""Where the training of a VQ-VAE-HMM starts: at the maximum likelihood without inputs, not at random.

Gradient steps on a hidden Markov model from random values end in poor maxima, or with one regime for everything. So
all parts of the model are placed by the training data first, the generative ones as those of a hidden Markov model are
fitted, the recognition ones so as to imitate them. Gradient steps then move everything together.
"""

from __future__ import annotations

import copy
import math

import torch

from praesidium.data.chunks import Chunks
from praesidium.regimes import hmm
from praesidium.regimes.ascent import gradient_ascent
from praesidium.regimes.baum_welch import SELDOM, Fit, Problem
from praesidium.regimes.partitions import best_partition
from praesidium.regimes.shapes import Diagonal
from praesidium.regimes.vae_hmm import VAE_HMM
from praesidium.training.descent import adam, descend

PARTITIONS = 6  # from which the likeliest fit is looked for
ITERATIONS, TOLERANCE = 200, 1e-6  # of that fit; least gain, nats a time
LEAST = 1e-3  # a variance in a regime is at least this share of the training variance
REACH = 12.0  # evidence against a regime, in nats, that the encoder is asked for at most
ROUNDS, STEPS, RATE = 6, 25, 1e-2  # of the fit of input-driven transitions


@torch.no_grad()
def place(model: VAE_HMM, chunks: Chunks, held_out: Chunks | None, rounds: int = 0) -> int:
    """Place a model by whole training sequences; regimes come in the order of the first feature's volatility.

    1. Standardizers take their statistics.
    2. A hidden Markov model without inputs is fitted by maximum likelihood. The first regime is as its sequences have
       it, and one more that starts as the chain is on average; a move has probability 1e-4 or more.
    3. With inputs: generalized EM of the transitions (Bengio and Frasconi 1995), as long as it gains in the held-out
       part, or for as many rounds as are asked for where nothing is held out.
    4. The encoder's last layer is solved for the evidence log p(x_t | k), and k-means places the codes.

    Returns:
        The rounds in which inputs were given their say.
    """
    x, u, lengths = chunks
    mask = chunks.mask
    model.training_times.fill_(int(mask.sum()))
    for part in (model.encoder, model.decoder):
        part.standardizer.fit(x, mask)
    fit = _stationary(model, chunks)
    moves = fit.transition.clamp(min=SELDOM)
    moves = moves / moves.sum(-1, keepdim=True)
    initial = (len(lengths) * fit.initial + hmm.stationary(moves)) / (len(lengths) + 1)
    model.prior.set(initial.clamp(min=SELDOM), moves)
    model.decoder.set(fit.laws)
    model.permute(model.volatility().argsort())
    if u is not None and model.u_dim is not None:
        model.prior.standardizer.fit(u, mask)
        rounds = drive(model, chunks, held_out, rounds)
    evidence = model.decoder.log_prob(torch.where(mask.unsqueeze(1), x, 0.0))
    evidence = (evidence - evidence.amax(-1, keepdim=True)).clamp(min=-REACH)
    observed = mask & ~x.isnan().all(1)
    model.encoder.solve(x, evidence - evidence.mean(-1, keepdim=True), observed)
    model.quantizer.start(model.encode(x).transpose(1, 2)[observed])
    return rounds


def _stationary(model: VAE_HMM, chunks: Chunks) -> Fit:
    """The likeliest chain without inputs and the laws of its regimes, of standardized observations."""
    units = model.decoder.standardizer
    rows = (chunks[0].double().mT - units.mean) / units.deviation
    rows, lengths = torch.where(chunks.mask.unsqueeze(-1), rows, torch.nan).cpu(), chunks[2].cpu()
    problem = Problem(Diagonal(rows.flatten(0, 1)), model.decoder.tails, lengths, model.pseudo_stays, LEAST)
    first = best_partition(problem, rows, model.K, count=PARTITIONS, seed=model.settings["seed"])
    return gradient_ascent(problem, first, max_iter=ITERATIONS, tol=TOLERANCE)


@torch.enable_grad()
def drive(model: VAE_HMM, chunks: Chunks, held_out: Chunks | None, rounds: int) -> int:
    """Let inputs move the transitions, as long as every round gains a nat in the held-out part; the rounds that did.

    Without a held-out part there are ``rounds`` of them.

    A round takes the expected moves p(z_t, z_{t+1} | x) of the chain as it stands, and climbs their expected
    log-probability, sum p(z_t, z_{t+1} | x) log A(u_t).
    """
    x, u, lengths = chunks
    prior, times = model.prior, int(lengths.sum())
    optimizer = adam(prior, RATE, "drive")
    best = -math.inf if held_out is None else score(model, held_out) + 1 / int(held_out[2].sum())
    kept = copy.deepcopy(prior.state_dict())
    for done in range(rounds if held_out is None else ROUNDS):
        with torch.no_grad():
            pairs = hmm.smoothed(*model.hmm_arguments(x, u, lengths), lengths=lengths).pairs
        for _ in range(STEPS):
            descend(optimizer, -(pairs * prior(u).log_transition).sum() / times, "drive")
        if held_out is not None:
            if (now := score(model, held_out)) < best:
                prior.load_state_dict(kept)
                return done
            best, kept = now + 1 / int(held_out[2].sum()), copy.deepcopy(prior.state_dict())
    return rounds if held_out is None else ROUNDS


@torch.no_grad()
def score(model: VAE_HMM, chunks: Chunks) -> float:
    """Exact log-likelihood a time of sequences, in nats."""
    x, u, lengths = chunks
    return float(model.log_likelihood(x, u, lengths).sum() / lengths.sum())
