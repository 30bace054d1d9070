"""The VQ-VAE-HMM as an estimator."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from praesidium.component import InputError, check_name, real, whole
from praesidium.data.chunks import RandomChunkDataset, collate_fn
from praesidium.regimes.densities import Tails
from praesidium.regimes.elbo import POSTERIORS
from praesidium.regimes.fitting import train_model
from praesidium.regimes.model import Lengths, RegimeModel
from praesidium.regimes.observations import Observations, observe_inputs
from praesidium.regimes.quantizer import Usage
from praesidium.regimes.vae_hmm import VAE_HMM


class VQVAEHMM(RegimeModel, kind="vqvaehmm"):
    """Hidden Markov model with transitions that inputs may drive, trained as a vector-quantized autoencoder.

    :class:`~praesidium.regimes.vae_hmm.VAE_HMM` behind the interface of all regime models. It starts at the maximum
    likelihood of a hidden Markov model and trains on from there; the last tenth of each sequence tells for how many
    epochs, which are then trained anew on everything. Pass ``inputs`` to :meth:`fit` and transitions are driven by
    them; they are then needed everywhere.

    Args:
        n_regimes: regimes K, at least 2.
        n_codes: codes of the evidence, at least K.
        emissions: law of an observation in a regime, ``gaussian`` or ``student``.
        posterior: family of the approximate posterior in training, ``structured`` or ``mean_field``.
        hidden: channels and hidden units, at least K.
        pseudo_stays: stays in each regime taken as observed before any data; more makes regimes last longer.
        learning_rate: of Adam.
        epochs: most passes over the data.
        held_out: share of each sequence to stop by; 0 trains on everything for all epochs.
        min_length, max_length: of the random chunks that are trained on.
        random_state: seed of everything.

    Attributes:
        model_: the fitted :class:`~praesidium.regimes.vae_hmm.VAE_HMM`.
        usage_: how codes are used (:class:`~praesidium.regimes.quantizer.Usage`).
        collapsed_: whether codes do not tell regimes apart; :meth:`fit` also warns.
        history_: loss and held-out likelihood by epoch (:class:`~praesidium.regimes.fitting.Epoch`).
    """

    model_: VAE_HMM
    usage_: Usage
    collapsed_: bool
    history_: list[tuple[float, float, float]]

    def __init__(
        self,
        n_regimes: int = 3,
        *,
        n_codes: int = 32,
        emissions: str = "gaussian",
        posterior: str = "structured",
        hidden: int = 32,
        pseudo_stays: float = 0.0,
        learning_rate: float = 1e-3,
        epochs: int = 50,
        held_out: float = 0.1,
        min_length: int = 20,
        max_length: int = 200,
        random_state: int = 0,
    ) -> None:
        self.n_regimes = n_regimes
        self.n_codes = n_codes
        self.emissions = emissions
        self.posterior = posterior
        self.hidden = hidden
        self.pseudo_stays = pseudo_stays
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.held_out = held_out
        self.min_length = min_length
        self.max_length = max_length
        self.random_state = random_state

    def _check(self) -> None:
        super()._check()
        if self.n_regimes < 2:
            raise InputError(f"n_regimes: {self.n_regimes} is too few to tell apart; say n_regimes=2 or more")
        for name in ("n_codes", "hidden"):
            if not whole(value := getattr(self, name), int(self.n_regimes)):
                raise InputError(
                    f"{name}: {value!r} is not a whole number from n_regimes={self.n_regimes} on; say {name}=32"
                )
        for name, usual in {"epochs": 50, "min_length": 20, "max_length": 200}.items():
            if not whole(value := getattr(self, name)):
                raise InputError(f"{name}: {value!r} is not a positive whole number; {usual} is usual")
        check_name("emissions", self.emissions, Tails.registry)
        check_name("posterior", self.posterior, POSTERIORS)
        for name, usual in {"pseudo_stays": 0, "learning_rate": 0.001}.items():
            if not (real(value := getattr(self, name)) and 0 <= value < math.inf):
                raise InputError(f"{name}: {value!r} is not a number from 0 on; {usual} is usual")
        if not (real(self.held_out) and 0 <= self.held_out < 1):
            raise InputError(f"held_out: {self.held_out!r} is not a share in [0, 1); 0.1 is usual")

    def _fit(self, observed: Observations, inputs: Tensor | None) -> None:
        features = observed.values.shape[-1]
        self.model_ = VAE_HMM(
            features,
            int(self.hidden),
            int(self.n_regimes),
            int(self.hidden),
            None if inputs is None else inputs.shape[-1],
            n_codes=int(self.n_codes),
            emission=self.emissions,
            posterior=self.posterior,
            pseudo_stays=float(self.pseudo_stays),
            seed=self.random_state,
        )
        ends = observed.lengths.tolist()
        dataset = RandomChunkDataset(
            [one[:end].T for one, end in zip(observed.values, ends, strict=True)],
            None if inputs is None else [one[:end].T for one, end in zip(inputs, ends, strict=True)],
            int(self.min_length),
            int(self.max_length),
            seed=self.random_state,
        )
        loader = DataLoader(dataset, batch_size=64, collate_fn=collate_fn)
        epochs, rate, share = int(self.epochs), float(self.learning_rate), float(self.held_out)
        train_model(self.model_, loader, epochs, rate, held_out=share)
        self.history_ = list(self.model_.history)
        self.usage_ = self.model_.usage()
        self.collapsed_ = self.usage_.collapsed
        self._publish()

    @torch.no_grad()
    def _publish(self) -> None:
        """Set the attributes that all regime models have."""
        prior = self.model_.prior
        mean = None if prior.u_dim is None else prior.standardizer.mean.view(1, -1, 1)
        self.initial_ = prior(mean).log_initial.exp().numpy()
        self.transition_ = prior.moves(mean).exp().view(prior.K, prior.K).numpy()
        self.means_, self.volatilities_ = self.model_.decoder.laws().mean.numpy(), self.model_.volatility().numpy()

    def learned(self) -> dict[str, Any]:
        weights = {name: one.tolist() for name, one in self.model_.state_dict().items()}
        kept = {name: one for name, one in super().learned().items() if name not in ("model_", "usage_", "history_")}
        settings = {
            name: one.item() if isinstance(one, np.generic) else one for name, one in self.model_.settings.items()
        }
        return kept | {"model_": {"settings": settings, "weights": weights}}

    def restore(self, learned: Mapping[str, Any]) -> VQVAEHMM:
        model = VAE_HMM(**learned["model_"]["settings"])
        there, weights = model.state_dict(), learned["model_"]["weights"]
        model.load_state_dict({name: one.new_tensor(weights[name]) for name, one in there.items()})
        self.model_ = model.eval()
        self.usage_ = model.usage()
        return super().restore({name: one for name, one in learned.items() if name != "model_"})

    def _reorder(self, order: NDArray[np.int64]) -> None:
        super()._reorder(order)
        self.model_.permute(torch.from_numpy(order))

    @torch.no_grad()
    def _filter(self, observed: Observations, inputs: Tensor | None) -> Float[Tensor, "batch times states"]:
        return self.model_.filter(*_conv(observed, inputs))

    @torch.no_grad()
    def _smooth(self, observed: Observations, inputs: Tensor | None) -> Float[Tensor, "batch times states"]:
        return self.model_.smooth(*_conv(observed, inputs))

    @torch.no_grad()
    def _decode(self, observed: Observations, inputs: Tensor | None) -> Int[Tensor, "batch times"]:
        return self.model_.viterbi(*_conv(observed, inputs)).states

    @torch.no_grad()
    def _log_likelihood(self, observed: Observations, inputs: Tensor | None) -> Float[Tensor, " batch"]:
        return self.model_.log_likelihood(*_conv(observed, inputs))

    def _emit(self, states: Int[Tensor, " rows"], generator: torch.Generator) -> Float[Tensor, "rows features"]:
        return self.model_.decoder.draw(states, generator)

    @torch.no_grad()
    def _moves(self, inputs: Tensor | None) -> Float[Tensor, "*rows states states"]:
        return self.model_.transition(None if inputs is None else inputs.transpose(1, 2))

    def _inputs(self, inputs: Any, observed: Observations, lengths: Lengths) -> Tensor | None:
        return None if inputs is None else observe_inputs(inputs, observed)

    def _given(self, X: Any, inputs: Any, lengths: Lengths) -> tuple[Observations, Tensor | None]:
        observed, driven = super()._given(X, inputs, lengths)
        wanted, columns = self.model_.u_dim, None if driven is None else driven.shape[-1]
        if wanted != columns:
            raise InputError(
                f"inputs: {columns} columns, but {wanted} were fitted; give the same ones, or None as then"
            )
        return observed, driven


def _conv(observed: Observations, inputs: Tensor | None) -> tuple[Tensor, Tensor | None, Tensor]:
    """Arguments in the layout of convolutions."""
    return observed.values.transpose(1, 2), None if inputs is None else inputs.transpose(1, 2), observed.lengths
