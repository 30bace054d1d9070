"""Calibration by the name of the dynamics."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from praesidium.component import InputError, unknown
from praesidium.markets.calibration.closed_form import fit_gbm
from praesidium.markets.calibration.estimate import Calibration
from praesidium.markets.calibration.maximum_likelihood import fit_merton
from praesidium.markets.calibration.simulated_moments import fit_by_simulated_moments

KNOWN = ("gbm", "heston", "bates", "merton")


def calibrate(returns: NDArray[np.float64], *, dynamics: str, generator: torch.Generator) -> Calibration:
    """Parameters of a market from daily log returns.

    Args:
        returns: NaN marks a day that was left out.
        dynamics: ``gbm`` in closed form, ``merton`` by maximum likelihood, ``heston`` and ``bates`` by simulated
            moments.
        generator: for the simulated moments.

    Raises:
        InputError: if the dynamics are unknown or the returns cannot be used.
    """
    match dynamics:
        case "gbm":
            return fit_gbm(returns)
        case "merton":
            return fit_merton(returns)
        case "heston" | "bates":
            return fit_by_simulated_moments(returns, dynamics=dynamics, generator=generator)
    raise InputError(unknown("market", dynamics, KNOWN))
