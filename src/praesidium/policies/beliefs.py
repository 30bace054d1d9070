"""What a belief about the regime says of the periods ahead."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.component import InputError
from praesidium.hedging.state import State
from praesidium.policies.policy import Sizes


def ahead(
    belief: Float[Tensor, "*batch regimes"], chain: Float[Tensor, "*chains regimes regimes"], *, lookahead: int
) -> Float[Tensor, "*batch columns"]:
    """p, pA, ..., pA^lookahead side by side, and last the probability that the regime is left within that time.

    Args:
        belief: p, the filtered probability of each regime.
        chain: A, probabilities of the next regime, a row for each now: (K, K), or one for each belief.
        lookahead: periods ahead.

    Returns:
        (lookahead + 1) K + 1 columns; the last one is 1 - sum_k p_k A_kk^lookahead.
    """
    powers = [torch.eye(chain.shape[-1], dtype=chain.dtype, device=chain.device).expand_as(chain)]
    for _ in range(lookahead):
        powers.append(powers[-1] @ chain)
    stays = chain.diagonal(dim1=-2, dim2=-1).unsqueeze(-1) ** lookahead
    table = torch.cat([*powers, 1 - stays], dim=-1)
    return belief @ table if table.ndim == 2 else (belief.unsqueeze(-2) @ table).squeeze(-2)


def regimes_in(sizes: Sizes, kind: str) -> int:
    """How many regimes there are to see.

    Raises:
        InputError: if there is no view of them.
    """
    if not sizes.regimes:
        raise InputError(f"{kind}: the state has no view of the regime; say state.regimes.n_regimes=3")
    return sizes.regimes


def belief_in(state: State, kind: str) -> tuple[Float[Tensor, "*batch regimes"], Float[Tensor, "regimes regimes"]]:
    """The filtered probabilities in a state, and the chain.

    Raises:
        InputError: if there is no view of the regime.
    """
    if state.regimes is None or state.chain is None:
        raise InputError(f"{kind}: the state has no view of the regime; say state.regimes.n_regimes=3")
    return state.regimes, state.chain
