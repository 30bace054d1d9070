"""How a hedger sees the regime: filtered probabilities of a model that was fitted on training paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor

from praesidium.component import Component
from praesidium.markets.paths import Paths
from praesidium.markets.trailing import log_returns

Learned = Mapping[str, Any]


class RegimeView(Component):
    """A regime model of log returns, one period each, fitted once on paths of all training environments together.

    Attributes:
        model: name of a regime model, such as ``gaussian_hmm``.
        n_regimes: how many it tells apart, the calmest first.
        parameters: others of the model, by name.
        paths: training paths of each environment that it is fitted on.
    """

    model: str = "gaussian_hmm"
    n_regimes: int = Field(default=3, ge=2, le=12)
    parameters: dict[str, bool | int | float | str] = Field(default_factory=dict)
    paths: PositiveInt = 128

    @model_validator(mode="after")
    def _exists(self) -> RegimeView:
        self._unfitted()
        return self

    def fit(self, training: Sequence[Paths]) -> dict[str, Any]:
        """What was learned, as plain data."""
        rows = [_observations(paths.take(slice(0, self.paths))) for paths in training]
        lengths = [one.shape[1] for one in rows for _ in one]
        model = self._unfitted().fit(np.concatenate([one.ravel() for one in rows]), lengths=lengths)
        return model.learned()

    def probabilities(self, paths: Paths, learned: Learned) -> Float[Tensor, "steps paths regimes"]:
        """Filtered at times 0..horizon-1, from prices up to then alone."""
        rows = _observations(paths)
        model = self._unfitted().restore(learned)
        seen = model.filter(rows.ravel(), lengths=[rows.shape[1]] * len(rows))
        by_path = torch.as_tensor(seen).view(*rows.shape, -1)[:, paths.lookback - 1 : -1]
        return by_path.movedim(1, 0).to(paths.spot)

    def transition(self, learned: Learned) -> Float[Tensor, "regimes regimes"]:
        """Probabilities of the next regime, a row for each now; double precision."""
        return torch.tensor(learned["transition_"], dtype=torch.float64)

    def _unfitted(self) -> Any:
        return unfitted(self.model, self.n_regimes, self.parameters)


def unfitted(model: str, n_regimes: int, parameters: Mapping[str, Any]) -> Any:
    """A regime model by its name.

    Raises:
        InputError: if there is no such model or parameter.
    """
    from praesidium.regimes import of_prices  # noqa: PLC0415  (importing scikit-learn takes a second)

    return of_prices(model, **{**parameters, "n_regimes": n_regimes})


def _observations(paths: Paths) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Log returns, a row for each path; the return of a period is known at its end."""
    return log_returns(paths).T.double().cpu().numpy()
