"""Allocators: policies from beliefs about regimes to weights that are estimators of skfolio as well."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from skfolio.exceptions import OptimizationError
from skfolio.optimization import BaseOptimization
from skfolio.prior import ReturnDistribution
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from praesidium.component import InputError, check_whole
from praesidium.portfolio.constraints import Constraint
from praesidium.portfolio.fitting import observe, standardize, train
from praesidium.portfolio.market_state import MarketState
from praesidium.portfolio.regime_policy import RegimePolicy
from praesidium.regimes.causality import deciding
from praesidium.regimes.gaussian_hmm import GaussianHMM


class Allocator(BaseOptimization, RegimePolicy):
    """A network that decides weights from regimes, and an estimator that learns them from returns.

    As a module: ``allocator(regimes)`` turns (B, T, K) into (B, T, n), or (B, K) into (B, n); the entry at t depends
    on entries up to t alone. Weights go a learned share of the way from those held to an aim
    (:func:`praesidium.portfolio.adjustment.adjust`); with nothing held, they are the aim. An allocator starts in
    evaluation mode; a training loop calls ``train()`` before and ``eval()`` after.

    As an estimator: ``fit(X)`` on simple returns fits the regime model on their equally weighted mean, then the
    network; ``weights_`` is the decision at the last row, from ``previous_weights``. It goes wherever skfolio takes an
    optimization: ``cross_val_predict``, pipelines, ``clone``.

    Args:
        K: number of regimes.
        n_assets: number of assets; None takes it from ``fit``, and builds the network there.
        hidden_dim: units of a layer.
        constraint: what portfolios are allowed; None is ``LongOnly`` with ``max_weight``.
        max_weight: largest weight where no constraint is given; None bounds nothing.
        windows: returns over which volatility and momentum of each asset are measured; two features a window.
        trade_every: rows from one trade to the next; before a walk-forward test of 21 rows, say 21.
        transaction_costs: cost of a unit of turnover, paid once a trade; 0.001 = 10 bp.
        loss: called as ``loss(weights, returns, cost_rate=transaction_costs)``; None is the advanced portfolio loss
            without its charge for broken limits, since the constraint keeps them.
        regime_model: any ``RegimeModel`` with K regimes, cloned before it is fitted; None is a Gaussian HMM. Where it
            does not know the regime yet (NaN), all regimes are taken to be equally likely.
        epochs: steps of training in ``fit``.
        learning_rate: of Adam.
        sequence: rows in a training sequence, at least 2.
        random_state: seed of initial values and of all draws, a whole number.
        portfolio_params, fallback, previous_weights, raise_on_failure: see ``skfolio.optimization.BaseOptimization``.

    Attributes:
        weights_: (n), weights after the last row of X.
        regime_model_: the fitted regime model.
        loss_curve_: training loss at each step.
        n_observations_: rows of X.

    Raises:
        InputError: if a setting is out of bounds, or no weights satisfy the constraint.
    """

    registry: ClassVar[dict[str, type[Allocator]]] = {}
    loose: ClassVar[frozenset[str]] = frozenset(
        {
            *("constraint", "max_weight", "trade_every", "transaction_costs", "loss"),
            *("regime_model", "epochs", "learning_rate", "sequence"),
            *("portfolio_params", "fallback", "previous_weights", "raise_on_failure"),
        }
    )
    """Settings that may change without a new network."""

    regime_model_: Any
    loss_curve_: list[float]
    n_observations_: int

    def __init_subclass__(cls, kind: str = "", **kwargs: Any) -> None:
        """Register by kind, and show all settings in the signature, where scikit-learn and skfolio look for them."""
        super().__init_subclass__(**kwargs)
        if kind:
            Allocator.registry[kind] = cls
        own, every = inspect.signature(cls.__init__), inspect.signature(Allocator.__init__).parameters
        named = [one for one in own.parameters.values() if one.kind is not one.VAR_KEYWORD]
        rest = [one.replace(kind=one.KEYWORD_ONLY) for name, one in every.items() if name not in own.parameters]
        cls.__init__.__signature__ = own.replace(parameters=[*named, *rest])  # type: ignore[attr-defined]

    def __init__(
        self,
        K: int = 3,
        n_assets: int | None = None,
        hidden_dim: int = 64,
        *,
        constraint: Constraint | None = None,
        max_weight: float | None = None,
        windows: Sequence[int] = (21, 63),
        trade_every: int = 1,
        transaction_costs: float = 0.0,
        loss: Callable[..., Tensor] | None = None,
        regime_model: Any = None,
        epochs: int = 30,
        learning_rate: float = 0.001,
        sequence: int = 63,
        random_state: int = 0,
        portfolio_params: dict[str, Any] | None = None,
        fallback: Any = None,
        previous_weights: Any = None,
        raise_on_failure: bool = True,
    ) -> None:
        RegimePolicy.__init__(
            self,
            K,
            n_assets,
            hidden_dim,
            constraint=constraint,
            max_weight=max_weight,
            windows=windows,
            trade_every=trade_every,
            transaction_costs=transaction_costs,
            loss=loss,
            random_state=random_state,
        )
        BaseOptimization.__init__(self, portfolio_params, fallback, previous_weights, raise_on_failure)
        self.regime_model, self.epochs = regime_model, epochs
        self.learning_rate, self.sequence = learning_rate, sequence

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Settings by name."""
        return super().get_params(deep) | {"loss": self.loss_function}

    def set_params(self, **params: Any) -> Allocator:
        """Change settings; one that shapes the network makes it anew, untrained."""
        if "loss" in params:
            self.loss_function = params.pop("loss")
        super().set_params(**params)
        if {name.split("__")[0] for name in params} <= self.loose:
            self._check(self.assets)
        else:
            self.build(self.n_assets)
        return self

    @property
    def needs_previous_weights(self) -> bool:
        """True: every decision starts from what is held."""
        return True

    def fit(self, X: Any, y: Any = None) -> Allocator:
        """Learn from simple returns (rows, assets), pandas or NumPy; ``y`` is not used.

        Raises:
            InputError: if returns are missing, or settings do not fit them.
        """
        values = self._returns(X, reset=True)
        self.build(values.shape[1])
        self.n_observations_ = len(values)
        self.regime_model_ = self._regime_model().fit(values.mean(1))
        state = self._observe(values)
        standardize(self, state)
        self.train()
        self.loss_curve_ = train(
            self,
            state,
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            sequence=self.sequence,
            seed=self.random_state,
        )
        self.eval()
        with torch.no_grad():
            aims, rates = self._read_exactly(state)
            weights = self.combine(self.follow(aims[:, :, -1:], rates[:, :, -1:], self._held(), None))[0, 0].numpy()
        if not np.isfinite(weights).all():
            raise OptimizationError(f"{type(self).__name__}: training diverged; lower learning_rate")
        self.weights_ = weights
        return self

    def decide(self, X: Any) -> pd.DataFrame:
        """Target weights decided at each row of X, from what is known at it and what ``fit`` has learned.

        They start from ``previous_weights`` and are decided every ``trade_every`` rows, from the first row on; a row in
        between is NaN, which decides nothing: what is held drifts. Regimes and characteristics begin with the first
        row: put the rows before those of interest in front of them.

        Raises:
            InputError: if returns are missing.
            NotFittedError: before ``fit``.
        """
        check_is_fitted(self, "weights_")
        values = self._returns(X, reset=False)
        with torch.no_grad(), deciding():
            moves = torch.from_numpy(values).unsqueeze(0)
            paths = self.follow(*self._read_exactly(self._observe(values)), self._held(), moves)
            weights = self.combine(paths)[0].numpy()
        weights[np.arange(len(weights)) % self.trade_every > 0] = np.nan
        return pd.DataFrame(weights, index=getattr(X, "index", None), columns=getattr(X, "columns", None))

    def predict(self, X: Any) -> Any:
        """The portfolio of ``weights_`` on the returns X.

        What skfolio calls transaction costs is taken off the return of every row; ours are paid once, and spread over
        the rows of X.
        """
        rows = len(X.returns if isinstance(X, ReturnDistribution) else X)
        params = self.portfolio_params
        self.portfolio_params = {"transaction_costs": self.transaction_costs / max(rows, 1), **(params or {})}
        try:
            return super().predict(X)
        finally:
            self.portfolio_params = params

    def _check(self, assets: int | None) -> None:
        super()._check(assets)
        check_whole(type(self).__name__, "epochs", self.epochs, least=1)
        check_whole(type(self).__name__, "sequence", self.sequence, least=2)
        if not 0 < self.learning_rate < math.inf:
            raise InputError(
                f"{type(self).__name__}: learning_rate={self.learning_rate!r} is not a number above 0; say 0.001"
            )

    def _regime_model(self) -> Any:
        if self.regime_model is not None:
            return clone(self.regime_model)
        return GaussianHMM(n_regimes=self.K, random_state=self.random_state)

    def _observe(self, values: Float[np.ndarray, "rows assets"]) -> MarketState:
        return observe(self.regime_model_, values, regimes=self.K, windows=self.windows)

    def _read_exactly(self, state: MarketState) -> tuple[Tensor, Tensor]:
        """:meth:`read`, with limits kept to double precision."""
        scores, urgency = self._scores(state)
        return self.limits.aim(scores.double()), urgency.double().sigmoid()

    def _held(self) -> Float[Tensor, "1 assets"] | None:
        """Previous weights."""
        if self.previous_weights is None:
            return None
        return torch.from_numpy(self._clean_previous_weights(self.n_features_in_)).double().unsqueeze(0)

    def _returns(self, X: Any, *, reset: bool) -> Float[np.ndarray, "rows assets"]:
        validate_data(self, X, reset=reset, skip_check_array=True)
        values = np.array(X, dtype=np.float64)
        name = type(self).__name__
        if reset and self.n_assets not in {None, values.shape[1]}:
            raise InputError(
                f"{name}: n_assets={self.n_assets}, but X has {values.shape[1]} columns; leave n_assets out"
            )
        if len(values) < 2:
            raise InputError(f"{name}: X has {len(values)} rows; give at least 2")
        missing = np.argwhere(~np.isfinite(values))
        if len(missing):
            row, column = missing[0].tolist()
            asset = getattr(X, "columns", range(values.shape[1]))[column]
            raise InputError(
                f"{name}: {len(missing)} returns in X are missing or infinite (first: row {row} of {asset}); "
                "drop the assets or rows"
            )
        return values
