"""The hidden Markov model with Student-t observations."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from praesidium.regimes.baum_welch import Fit
from praesidium.regimes.densities import Student
from praesidium.regimes.stationary import StationaryHMM
from praesidium.regimes.units import Units


class StudentHMM(StationaryHMM, kind="student_hmm"):
    """x_t given z_t = k is multivariate t with nu_k degrees of freedom, between 2.05 and 200.

    One wild day does not start another regime, because the tails of the calm one may hold it.
    ``covariances_`` and ``volatilities_`` are moments: those of the scale times nu / (nu - 2), or its root.

    The gradient is faster: where features are few, EM needs hundreds of steps for the degrees of freedom.

    Attributes:
        dof_: (K), degrees of freedom of each regime.

    Source: Bulla 2011, "Hidden Markov models with t components".
    """

    tails = Student()
    faster = "gradient"

    dof_: NDArray[np.float64]

    def _settle(self, fit: Fit, units: Units) -> None:
        self.dof_ = fit.laws.dof.numpy()
        super()._settle(fit, units)

    def _reorder(self, order: NDArray[np.int64]) -> None:
        super()._reorder(order)
        self.dof_ = self.dof_[order]

    def _dof(self) -> Float[Tensor, " regimes"]:
        return torch.from_numpy(self.dof_)
