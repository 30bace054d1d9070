"""Several correlated assets of constant volatility."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from jaxtyping import Float
from pydantic import Field, PositiveFloat, model_validator
from torch import Tensor

from praesidium.markets.draws import Sampling, draw
from praesidium.markets.market import Marked, Market


class CorrelatedBrownian(Market, kind="correlated_gbm"):
    """dS_i = volatility_i S_i dW_i,  dW_i dW_j = correlation_ij dt, sampled exactly; the first asset is the spot.

    Attributes:
        volatilities: annual, of the spot and the further assets.
        correlation: one number for any two, or a matrix.
        sampling: how the paths are drawn, see :func:`~praesidium.markets.draws.draw`.
    """

    volatilities: tuple[PositiveFloat, ...] = Field(default=(0.2, 0.3), min_length=2)
    correlation: float | tuple[tuple[float, ...], ...] = 0.5
    sampling: Sampling = "random"

    @model_validator(mode="after")
    def _possible(self) -> CorrelatedBrownian:
        count = len(self.volatilities)
        if isinstance(self.correlation, tuple) and {len(self.correlation), *map(len, self.correlation)} != {count}:
            raise ValueError(f"correlation: the matrix does not have {count} rows of {count}, as many as volatilities")
        matrix = self._matrix()
        if not torch.equal(matrix, matrix.T) or not (matrix.diagonal() == 1).all():
            raise ValueError("correlation: the matrix is not symmetric with ones on its diagonal; mend its entries")
        if torch.linalg.eigvalsh(matrix)[0] < 1e-10:
            raise ValueError(
                f"correlation: no {count} assets can be correlated like that (the matrix is not positive definite); "
                "take numbers nearer to 0"
            )
        return self

    def sample(
        self, *, paths: int, steps: int, dt: float, generator: torch.Generator, dtype: torch.dtype = torch.float32
    ) -> tuple[Float[Tensor, "times paths"], Float[Tensor, "times paths"]]:
        """The first of the assets; the others are drawn and left out."""
        spot = self._assets(paths, steps, dt, generator, dtype)[0]
        return spot, spot.new_tensor(self.volatilities[0] ** 2).expand_as(spot)

    def expected_variance(
        self, variance: Float[Tensor, "*shape"], years: Float[Tensor, "*broadcast"] | float
    ) -> Float[Tensor, "*shape"]:
        """The variance now, over any time."""
        return variance

    def sample_marked(
        self,
        *,
        paths: int,
        steps: int,
        left: Float[Tensor, "curves rebalances"],
        dt: float,
        generator: torch.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> Marked:
        """All assets, each marked at its own volatility; the first one is that of :meth:`sample`."""
        spot, *others = self._assets(paths, steps, dt, generator, dtype).unbind()
        variances = spot.new_tensor(self.volatilities).square().view(-1, 1, 1)
        curves, rebalances = left.shape
        return Marked(
            spot=spot,
            expected=variances[:1].expand(curves, rebalances, paths),
            others=torch.stack(others),
            others_expected=variances[1:].expand(-1, rebalances, paths),
        )

    def _assets(
        self, paths: int, steps: int, dt: float, generator: torch.Generator, dtype: torch.dtype
    ) -> Float[Tensor, "assets times paths"]:
        count = len(self.volatilities)
        normals = draw(self.sampling, paths=paths, steps=steps, drivers=count, generator=generator, dtype=dtype).normals
        factor = torch.linalg.cholesky(self._matrix()).tolist()
        logs = torch.zeros(count, steps + 1, paths, dtype=dtype, device=generator.device)
        for log, row, volatility in zip(logs, factor, self.volatilities, strict=True):
            log[1:] = -0.5 * volatility**2 * dt
            for number, share in enumerate(row):
                if share:
                    log[1:].add_(normals[:, number], alpha=share * volatility * math.sqrt(dt))
            for before, now in pairwise(log):
                now.add_(before)
        return logs.exp_()

    def _matrix(self) -> Float[Tensor, "assets assets"]:
        count, given = len(self.volatilities), self.correlation
        if isinstance(given, tuple):
            return torch.tensor(given, dtype=torch.float64)
        return torch.full((count, count), given, dtype=torch.float64).fill_diagonal_(1.0)
