"""The regime model family: one interface, after scikit-learn, for everything that tells regimes apart."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar, final

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from praesidium.component import InputError, unknown, whole
from praesidium.regimes import hmm
from praesidium.regimes.causality import refuse_look_ahead
from praesidium.regimes.observations import Observations, observe

M = TypeVar("M", bound="RegimeModel")
Lengths = Sequence[int] | NDArray[np.int64] | None


class RegimeModel(BaseEstimator, ABC):
    """Latent regimes of a series of observations.

    ``X`` has rows in the order of time and one column a feature, the return first; NumPy or pandas, which comes back
    with its index; NaN is missing. ``lengths`` cuts the rows into sequences. ``inputs`` are covariates that drive
    transitions, for the members that have such.

    Regimes are numbered by the volatility of the first column, the calmest first: refitting does not swap their names.

    :meth:`filter`, :meth:`predict`, :meth:`predict_proba` and :meth:`forecast` know the rows up to their own alone.
    :meth:`smooth` and :meth:`decode` know them all, and raise where a decision is made
    (:func:`praesidium.regimes.causality.deciding`).

    Attributes:
        n_regimes: number of regimes, K.
        random_state: seed of all that is drawn.
        n_features_in_: columns that were fitted.
        feature_names_in_: their names, where X was a DataFrame with names that are text.
        initial_: (K), distribution of the first regime.
        transition_: (K, K), probabilities of the next regime, a row for each regime now; at mean inputs if driven.
        means_: (K, features), mean of each feature in each regime.
        volatilities_: (K), standard deviation of the first feature in each regime, a period; rising.
    """

    registry: ClassVar[dict[str, type[RegimeModel]]] = {}
    kind: ClassVar[str] = ""
    needs_inputs: ClassVar[bool] = False  # whether it cannot do without inputs

    n_regimes: int
    random_state: int
    n_features_in_: int
    feature_names_in_: NDArray[Any]
    initial_: NDArray[np.float64]
    transition_: NDArray[np.float64]
    means_: NDArray[np.float64]
    volatilities_: NDArray[np.float64]

    def __init_subclass__(cls, kind: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if kind:
            cls.kind = kind
            RegimeModel.registry[kind] = cls

    # ---- settings and what was learned, as plain data ---------------------------------------------------------------

    def learned(self) -> dict[str, Any]:
        """What :meth:`fit` has set, as plain data; :meth:`restore` is its inverse.

        Raises:
            NotFittedError: if nothing was fitted.
        """
        check_is_fitted(self, "transition_")
        own = {name: one for name, one in vars(self).items() if name.endswith("_") and not name.startswith("_")}
        return {name: one.tolist() if isinstance(one, np.ndarray | np.generic) else one for name, one in own.items()}

    def restore(self: M, learned: Mapping[str, Any]) -> M:
        """Take over what another model of the same settings has learned."""
        for name, value in learned.items():
            setattr(self, name, np.array(value) if isinstance(value, list) else value)
        return self

    # ---- what a member says -----------------------------------------------------------------------------------------

    @abstractmethod
    def _fit(self, observed: Observations, inputs: Tensor | None) -> None:
        """Set all fitted attributes, regimes in any order; :meth:`_reorder` is called afterwards."""

    @abstractmethod
    def _reorder(self, order: NDArray[np.int64]) -> None:
        """Renumber the regimes: the new k is the old ``order[k]``. Extends the base's, which does the common ones."""
        self.initial_, self.means_ = self.initial_[order], self.means_[order]
        self.volatilities_, self.transition_ = self.volatilities_[order], self.transition_[np.ix_(order, order)]

    @abstractmethod
    def _filter(self, observed: Observations, inputs: Tensor | None) -> Float[Tensor, "batch times states"]:
        """p(z_t | x_1..t)."""

    @abstractmethod
    def _smooth(self, observed: Observations, inputs: Tensor | None) -> Float[Tensor, "batch times states"]:
        """p(z_t | x_1..T)."""

    @abstractmethod
    def _decode(self, observed: Observations, inputs: Tensor | None) -> Int[Tensor, "batch times"]:
        """The most likely path."""

    @abstractmethod
    def _log_likelihood(self, observed: Observations, inputs: Tensor | None) -> Float[Tensor, " batch"]:
        """log p(x_1..T) of each sequence."""

    @abstractmethod
    def _emit(self, states: Int[Tensor, " rows"], generator: torch.Generator) -> Float[Tensor, "rows features"]:
        """A draw of the observation in each of these regimes."""

    def _check(self) -> None:
        """Refuse settings out of bounds; members extend it."""
        if not whole(self._wanted):
            raise InputError(f"n_regimes: {self._wanted!r} is not a positive whole number; 2 or 3 are usual")

    @property
    def _wanted(self) -> Any:
        """How many regimes are to be fitted, which other settings of a member may tell."""
        return self.n_regimes

    # ---- what users call --------------------------------------------------------------------------------------------

    @final
    def fit(self: M, X: Any, y: None = None, *, inputs: Any = None, lengths: Lengths = None) -> M:
        """Estimate the regimes.

        Args:
            X: observations; at least two rows a regime.
            y: not used; scikit-learn passes it.
            inputs: covariates by row, (rows,) or (rows, inputs); those of a row drive the move to the next one.
            lengths: rows of each sequence.

        Raises:
            InputError: if settings are out of bounds or the observations do not suffice.
        """
        self._check()
        observed = observe(X, lengths=lengths)
        driven = self._inputs(inputs, observed, lengths)
        seen = int((~observed.missing).any(-1).sum())
        if seen < 2 * self._wanted:
            raise InputError(
                f"X: {seen} rows hold a number, too few for {self._wanted} regimes; give at least "
                f"{2 * self._wanted}, or fewer regimes"
            )
        self.n_features_in_ = observed.values.shape[-1]
        vars(self).pop("feature_names_in_", None)
        if observed.names is not None:
            self.feature_names_in_ = np.array(observed.names, dtype=object)
        self._fit(observed, driven)
        self._reorder(np.argsort(self.volatilities_, kind="stable"))
        return self

    @final
    def filter(self, X: Any, *, inputs: Any = None, lengths: Lengths = None) -> Any:
        """p(z_t | x_1..t), (rows, K): what a decision may use."""
        observed, driven = self._given(X, inputs, lengths)
        return observed.table(self._filter(observed, driven), range(len(self.initial_)))

    @final
    def predict_proba(self, X: Any, *, inputs: Any = None, lengths: Lengths = None) -> Any:
        """As :meth:`filter`; unlike hmmlearn's, it does not look ahead."""
        return self.filter(X, inputs=inputs, lengths=lengths)

    @final
    def predict(self, X: Any, *, inputs: Any = None, lengths: Lengths = None) -> Any:
        """The most likely regime of each row given the rows up to it, (rows,); -1 where nothing is known yet."""
        observed, driven = self._given(X, inputs, lengths)
        known = self._filter(observed, driven)
        return observed.column(torch.where(known.isnan().any(-1), -1, known.argmax(-1)), "regime")

    @final
    def forecast(self, X: Any, *, steps: int = 1, inputs: Any = None, lengths: Lengths = None) -> Any:
        """p(z_{t+steps} | x_1..t), (rows, K): the filtered regimes moved ahead by the chain.

        Where transitions are driven, the inputs of a row are taken to stay as they are.
        """
        if not whole(steps):
            raise InputError(f"steps: {steps!r} is not a positive number of periods; say steps=1 for the next one")
        observed, driven = self._given(X, inputs, lengths)
        now, moves = self._filter(observed, driven), self._moves(driven)
        for _ in range(steps):
            now = (now.unsqueeze(-2) @ moves).squeeze(-2)
        return observed.table(now, range(len(self.initial_)))

    @final
    def smooth(self, X: Any, *, inputs: Any = None, lengths: Lengths = None) -> Any:
        """p(z_t | x_1..T), (rows, K): for looking back, never for a decision.

        Raises:
            LookAhead: where a decision is made.
        """
        refuse_look_ahead(f"{type(self).__name__}.smooth")
        observed, driven = self._given(X, inputs, lengths)
        return observed.table(self._smooth(observed, driven), range(len(self.initial_)))

    @final
    def decode(self, X: Any, *, inputs: Any = None, lengths: Lengths = None) -> Any:
        """The most likely path of regimes given all rows, (rows,): for looking back; -1 where nothing is known yet.

        Raises:
            LookAhead: where a decision is made.
        """
        refuse_look_ahead(f"{type(self).__name__}.decode")
        observed, driven = self._given(X, inputs, lengths)
        return observed.column(self._decode(observed, driven), "regime")

    @final
    def score(self, X: Any, y: None = None, *, inputs: Any = None, lengths: Lengths = None) -> float:
        """log p(X), of all sequences together, as hmmlearn has it."""
        observed, driven = self._given(X, inputs, lengths)
        return self._log_likelihood(observed, driven).sum().item()

    @final
    def sample(self, n: int, *, random_state: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """One sequence of ``n`` observations, (n, features), and its regimes; at mean inputs if driven."""
        from praesidium.training.reproducibility import stream  # noqa: PLC0415

        check_is_fitted(self, "transition_")
        if not whole(n):
            raise InputError(f"sample: n={n!r} is not a positive number of rows; say n=1000")
        generator = stream(random_state, "regimes", "sample")
        logs = [torch.from_numpy(one).log() for one in (self.initial_, self.transition_)]
        states = hmm.sample_chain(*logs, steps=int(n), batch=1, generator=generator)[0]
        return self._emit(states, generator).numpy(), states.numpy()

    def _moves(self, inputs: Tensor | None) -> Float[Tensor, "*rows states states"]:
        """Transitions out of each row, or the same for all; members that inputs drive have their own."""
        return torch.from_numpy(self.transition_)

    def _given(self, X: Any, inputs: Any, lengths: Lengths) -> tuple[Observations, Tensor | None]:
        check_is_fitted(self, "transition_")
        observed = observe(X, lengths=lengths, features=self.n_features_in_)
        fitted = np.asarray(getattr(self, "feature_names_in_", observed.names)).tolist()
        if observed.names is not None and list(observed.names) != fitted:
            mend = f"say X[{fitted}]" if set(observed.names) >= set(fitted) else f"rename them to {fitted}"
            raise InputError(f"X: columns {list(observed.names)} are not those that were fitted; {mend}")
        return observed, self._inputs(inputs, observed, lengths)

    def _inputs(self, inputs: Any, observed: Observations, lengths: Lengths) -> Tensor | None:
        """Covariates, (batch, times, inputs); members that take some have their own check."""
        if inputs is not None:
            raise InputError(f"inputs: {type(self).__name__} takes none; leave them out, or use InputDrivenHMM")
        return None


def regime_model(kind: str, **settings: Any) -> RegimeModel:
    """A model by its name in the registry.

    Raises:
        InputError: if the name or a setting is unknown.
    """
    known = RegimeModel.registry
    if kind not in known:
        raise InputError(unknown("regimes", kind, known))
    names = known[kind]._get_param_names()
    for name in settings:
        if name not in names:
            raise InputError(unknown(f"regimes.{kind}", name, names))
    model = known[kind](**settings)
    model._check()
    return model


def of_prices(kind: str, **settings: Any) -> RegimeModel:
    """A model by its name, for a history of prices alone.

    Raises:
        InputError: as :func:`regime_model`, or if the model needs covariates.
    """
    model = regime_model(kind, **settings)
    if model.needs_inputs:
        raise InputError(f"regimes: {kind!r} needs inputs, and prices are all there is here; fit it in Python")
    return model
