"""Prior: how regimes begin and change, always alike or by inputs."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from praesidium.component import InputError
from praesidium.regimes.convolution import CausalConv
from praesidium.regimes.units import Standardizer
from praesidium.training.reproducibility import stream

STAY = 0.95  # probability of staying in a regime before anything is learned


class Chain(NamedTuple):
    """Logarithms of a Markov chain of regimes, as :mod:`praesidium.regimes.hmm` takes them.

    Attributes:
        log_initial: (K), log P(z_1).
        log_transition: (K, K), or (B, T - 1, K, K) with inputs: entry t leads from time t to t + 1 by the input of t.
    """

    log_initial: Float[Tensor, " regimes"]
    log_transition: Float[Tensor, "*steps regimes regimes"]


class Prior(nn.Module):
    """Markov chain of K regimes: pi = softmax(a), and each row of A_t is softmax(G + g(u_t)).

    Without inputs the transition matrix is softmax(G), the same at all times. With inputs g is a perceptron of one
    hidden layer on standardized inputs, zero before anything is learned. The step from t to t + 1 uses u_t, so that
    what was known at t is enough to forecast regimes of t + 1. Before anything is learned a regime lasts 20 periods on
    average.

    Args:
        K: regimes.
        u_dim: inputs U, or None.
        trans_hidden: hidden units of g.
        seed: of the initial values.

    Source: Bengio and Frasconi 1995, "An input output HMM architecture".
    """

    def __init__(self, K: int, u_dim: int | None = None, trans_hidden: int = 128, *, seed: int = 0) -> None:
        super().__init__()
        self.K, self.u_dim = K, u_dim
        self.initial = nn.Parameter(torch.zeros(K))
        leave = (1 - STAY) / max(K - 1, 1)
        self.logits = nn.Parameter(torch.eye(K) * math.log(STAY / leave))
        if u_dim is not None:
            generator = stream(seed, "init", "prior")
            self.standardizer = Standardizer(u_dim)
            self.first = CausalConv(u_dim, trans_hidden, generator)
            self.last = CausalConv(trans_hidden, K * K, generator)
            self.quiet()

    def forward(self, u: Float[Tensor, "batch inputs time"] | None = None) -> Chain:
        """The chain over as many times as there are inputs; the last input is not needed for it."""
        moves = self.moves(u)
        return Chain(self.initial.double().log_softmax(-1), moves if u is None else moves[:, :-1])

    def moves(self, u: Float[Tensor, "batch inputs time"] | None = None) -> Float[Tensor, "*steps regimes regimes"]:
        """log A after each time, (B, T, K, K) in double precision; (K, K) without inputs.

        Raises:
            InputError: if inputs are missing, there should be none, or their second axis is not U.
        """
        logits = self.logits.double()
        if self.u_dim is None:
            if u is not None:
                raise InputError("Prior: u was given, but the model was made with u_dim=None; leave u out")
            return logits.log_softmax(-1)
        if u is None or u.shape[1] != self.u_dim:
            given = "None" if u is None else str(tuple(u.shape))
            raise InputError(f"Prior: u={given} does not fit u_dim={self.u_dim}; give (batch, {self.u_dim}, time)")
        move = self.last(torch.tanh(self.first(self.standardizer(u)))).double()
        return (logits + move.transpose(1, 2).unflatten(-1, (self.K, self.K))).log_softmax(-1)

    def persistence(self, chain: Chain, mask: Bool[Tensor, "batch time"]) -> Float[Tensor, ""]:
        """Sum over regimes of log A_kk, on average over steps: the log-probability of one stay in each regime.

        A multiple of it in a log-likelihood is a Dirichlet prior with that many stays observed beforehand.
        """
        steps = mask[:, 1:]
        stays = chain.log_transition.diagonal(dim1=-2, dim2=-1).sum(-1).expand_as(steps)
        return torch.where(steps, stays, 0.0).sum() / steps.sum().clamp(min=1)

    @torch.no_grad()
    def set(self, initial: Float[Tensor, " regimes"], transition: Float[Tensor, "regimes regimes"]) -> None:
        """Start from these probabilities, all positive, at every input."""
        self.initial.copy_(initial.log())
        self.logits.copy_(transition.log())
        if self.u_dim is not None:
            self.quiet()

    @torch.no_grad()
    def quiet(self) -> None:
        """Let inputs have no influence, as before anything is learned."""
        self.last.weight.zero_()
        self.last.bias.zero_()

    @torch.no_grad()
    def permute(self, order: Int[Tensor, " regimes"]) -> None:
        """Reorder the regimes."""
        self.initial.copy_(self.initial[order])
        self.logits.copy_(self.logits[order][:, order])
        if self.u_dim is not None:
            pairs = torch.arange(self.K * self.K, device=order.device).view(self.K, self.K)[order][:, order].flatten()
            self.last.weight.copy_(self.last.weight[pairs])
            self.last.bias.copy_(self.last.bias[pairs])
