"""Days labelled by their filtered regime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from praesidium.data.day_labels import DayLabels
from praesidium.hedging.regime_view import unfitted


class RegimeLabels(DayLabels, kind="regimes"):
    """The most likely regime of each day given the days up to it; the model is fitted on training days alone.

    Attributes:
        model: name of a regime model.
        n_regimes: how many it tells apart.
        parameters: others of the model, by name.
    """

    model: str = "gaussian_hmm"
    n_regimes: int = Field(default=3, ge=2, le=12)
    parameters: dict[str, bool | int | float | str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _exists(self) -> RegimeLabels:
        self._unfitted()
        return self

    def label(self, log_returns: NDArray[np.float64], training: Sequence[NDArray[np.float64]]) -> NDArray[np.int64]:
        model = self._unfitted().fit(np.concatenate(training), lengths=[len(one) for one in training])
        return np.asarray(model.predict(log_returns), dtype=np.int64)

    def _unfitted(self) -> Any:
        return unfitted(self.model, self.n_regimes, self.parameters)
