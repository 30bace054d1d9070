"""An allocator of two speeds: slow macro states decide which fast view of the regime counts."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from praesidium.component import InputError
from praesidium.portfolio.aims import Perceptron
from praesidium.portfolio.allocator import Allocator


def smoothed(x: Float[Tensor, "batch time channels"], pace: Float[Tensor, ""]) -> Float[Tensor, "batch time channels"]:
    """m_t = m_{t-1} + pace (x_t - m_{t-1}), m_0 = x_0, for all t at once in log2 T steps.

    With S_d(t) = sum_{l < d} (1 - pace)^l y_{t-l}: S_2d(t) = S_d(t) + (1 - pace)^d S_d(t - d).
    """
    total = torch.cat([x[:, :1], pace * x[:, 1:]], dim=1)
    keep, reach = 1 - pace, 1
    while reach < x.shape[1]:
        total = torch.cat([total[:, :reach], total[:, reach:] + keep * total[:, :-reach]], dim=1)
        keep, reach = keep.square(), 2 * reach
    return total


class MacroGate(nn.Module):
    """g_t = m_t G: the slowly smoothed regime mix m_t, seen through a matrix G with rows that sum to one.

    From one time to the next g moves by at most 2 pace in the sum of absolute changes, however fast the regimes do,
    since a stochastic matrix brings distributions closer.

    Attributes:
        rhythm: logit of the pace, which is learned.
        mapping: logits of G.
    """

    def __init__(self, regimes: int, macros: int, horizon: float, generator: torch.Generator) -> None:
        super().__init__()
        self.rhythm = nn.Parameter(torch.logit(torch.tensor(1 / horizon)))
        self.mapping = nn.Parameter(torch.randn(regimes, macros, generator=generator))

    def forward(self, regimes: Float[Tensor, "batch time regimes"]) -> Float[Tensor, "batch time macros"]:
        """Probabilities of the macro states."""
        return smoothed(regimes, self.rhythm.sigmoid()) @ self.mapping.softmax(-1)


class MacroMicro(nn.Module):
    """sum_e g_e(slow) context_e(fast): a perceptron of the present beliefs for each macro state, mixed by the gate."""

    def __init__(
        self, regimes: int, tokens: int, width: int, macros: int, horizon: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.regimes = regimes
        self.gate = MacroGate(regimes, macros, horizon, generator)
        self.micro = nn.ModuleList(Perceptron(tokens, width, generator) for _ in range(macros))

    def forward(self, tokens: Float[Tensor, "batch time tokens"]) -> Float[Tensor, "batch time width"]:
        """Contexts."""
        gates = self.gate(tokens[..., : self.regimes])
        contexts = torch.stack([view(tokens) for view in self.micro], dim=-1)
        return (contexts * gates.unsqueeze(-2)).sum(-1)


class HierarchicalPortfolioOptimizer(Allocator, kind="hierarchical"):
    """A slow chain of macro states gates fast micro networks, and their mixture decides the aim.

    Args:
        macros: macro states, at least 2.
        macro_horizon: periods over which the macro chain averages before training, above 1.
        settings: of every :class:`praesidium.portfolio.allocator.Allocator`.

    Source: the gate is that of a mixture of experts (Jacobs et al. 1991), fed by an exponential average.
    """

    def __init__(
        self,
        K: int = 3,
        n_assets: int | None = None,
        hidden_dim: int = 64,
        *,
        macros: int = 2,
        macro_horizon: float = 63.0,
        **settings: Any,
    ) -> None:
        super().__init__(K, n_assets, hidden_dim, **settings)
        self.macros, self.macro_horizon = macros, macro_horizon
        self.build(n_assets)

    def _encoder(self, tokens: int, generator: torch.Generator) -> nn.Module:
        return MacroMicro(self.K, tokens, self.hidden_dim, self.macros, self.macro_horizon, generator)

    def gates(self, regimes: Float[Tensor, "batch time regimes"]) -> Float[Tensor, "batch time macros"]:
        """Probabilities of the macro states at each time."""
        state = self.state(regimes)
        return self.get_submodule("network.encoder.gate")(state.regimes)

    def _check(self, assets: int | None) -> None:
        super()._check(assets)
        name = type(self).__name__
        if self.macros < 2:
            raise InputError(f"{name}: macros={self.macros} leaves nothing to gate; say at least 2")
        if not self.macro_horizon > 1:
            raise InputError(f"{name}: macro_horizon={self.macro_horizon:g} is not slow; say more than 1 period")
