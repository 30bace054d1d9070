"""Prices from a characteristic function: one integral along a bent contour, to the last digits."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Complex, Float
from torch import Tensor

LARGEST_TILT = 0.45  # more would leave too little of the decay of a normal law, which ends at pi / 4
OPENING = 0.65  # angle between the contour and each of the rays from the poles that bound a strip around it
MARGIN = 1.3  # more nodes, since the integrand grows towards the edges of that strip


def expected_minimum(
    moneyness: Float[Tensor, " options"],
    exponent: Callable[[Complex[Tensor, "options nodes"]], Complex[Tensor, "options nodes"]],
    *,
    tilt: Float[Tensor, " options"],
    reach: Float[Tensor, " options"],
    digits: float,
) -> Float[Tensor, " options"]:
    """E[min(S, K)] / K = 1/pi Re int e^(i z k + psi(z)) / (z (z + i)) dz, from Im z in (-1, 0) to infinity.

    With it a call is worth E[S] - E[min(S, K)], a put K - E[min(S, K)]. The contour z(y) = b sinh(y + i tilt) - i c is
    a hyperbola, so that the trapezoidal rule in y converges exponentially and its nodes spread from the poles at
    0 and -i to the far tail. The integral does not depend on the contour, which is why tilt and reach may be rough.

    Args:
        moneyness: k = log(F / K), with the forward F = E[S].
        exponent: psi, where e^psi(z) = E[(S / F)^(iz)]; analytic on the right half-plane and for -1 <= Im z <= 0.
        tilt: angle at which the contour leaves for infinity, at most ``LARGEST_TILT`` either way. Towards the sign of
            the moneyness it trades oscillation for decay.
        reach: abs(z) beyond which the integrand is negligible; see :func:`estimated_reach`.
        digits: natural logarithm of the inverse of the accuracy; 37 for double precision.

    Source: Lewis 2001, eq. 3.11, for the integral; Boyarchenko and Levendorskii 2019, "Sinh-acceleration", for the
    contour.
    """
    b = 1 / (2 * tilt.cos() * math.sin(OPENING))  # the bounding rays leave from the poles
    c = b * torch.sin(tilt + OPENING)
    last = torch.asinh(reach / b)
    nodes = max(math.ceil(last.amax().item() * MARGIN * digits / (2 * math.pi * OPENING)), 1)
    step = (last / nodes).unsqueeze(-1)
    y = step * torch.arange(nodes + 1, dtype=step.dtype, device=step.device)
    b, c, sine, cosine = (x.unsqueeze(-1) for x in (b, c, tilt.sin(), tilt.cos()))
    z = torch.complex(b * y.sinh() * cosine, b * y.cosh() * sine - c)
    weight = torch.complex(y.cosh() * cosine, y.sinh() * sine) * (b * step / math.pi) / (z * (z + 1j))
    weight[..., 0] *= 0.5  # the integrand is even in y, and the sum half of the whole line's
    return (torch.exp(1j * z * moneyness.unsqueeze(-1) + exponent(z)) * weight).real.sum(-1)


def estimated_reach(
    variance: Float[Tensor, " options"],
    rate: Float[Tensor, " options"],
    *,
    tilt: Float[Tensor, " options"],
    digits: float,
) -> Float[Tensor, " options"]:
    """Size of z at which a characteristic function has fallen by e^(-digits), first as e^(-variance z^2 / 2).

    Args:
        variance: of the log price.
        rate: at which it falls later, as e^(-rate abs(z)).
        tilt: as in :func:`expected_minimum`.
        digits: as in :func:`expected_minimum`.
    """
    return torch.sqrt(2 * digits / (variance * torch.cos(2 * tilt))) + digits / rate
