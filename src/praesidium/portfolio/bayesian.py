"""An allocator that knows what it does not know: a distribution over the weights of its network."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from praesidium.component import InputError
from praesidium.portfolio.aims import Affine, Perceptron
from praesidium.portfolio.allocator import Allocator
from praesidium.portfolio.market_state import MarketState

START = 0.5  # deviation of the posterior before training, in deviations of the prior


class WeightDistribution(NamedTuple):
    """Portfolio weights under the posterior of the network.

    Attributes:
        mean: what is held.
        std: how much of it the data leave open.
    """

    mean: Float[Tensor, "batch *time assets"]
    std: Float[Tensor, "batch *time assets"]


class BayesianPortfolioOptimizer(Allocator, kind="bayesian"):
    """Mean-field Gaussian posterior over all parameters of a perceptron, learned by variational inference.

    q = prod N(m_i, s_i^2), prior p = prod N(0, (prior_scale / sqrt(inputs of the layer))^2). Training minimizes
    E_q[loss] + KL(q, p) / N over N observations: in training mode each call draws one network. Otherwise the weights
    are the mean over ``n_samples`` networks, the same at every call.

    Args:
        n_samples: networks drawn for a decision, at least 2.
        prior_scale: deviation of the prior, in those that keep the size of what passes through a layer.
        n_observations: N; None is the number of rows in ``fit``, and in another training loop that of the batch.
        settings: of every :class:`praesidium.portfolio.allocator.Allocator`.

    Source: Blundell et al. 2015 (Bayes by backprop), eq. 3; with a loss in place of a likelihood Bissiri et al. 2016.
    """

    loose = Allocator.loose | {"n_samples", "n_observations"}

    def __init__(
        self,
        K: int = 3,
        n_assets: int | None = None,
        hidden_dim: int = 32,
        n_samples: int = 10,
        *,
        prior_scale: float = 0.5,
        n_observations: int | None = None,
        epochs: int = 60,
        learning_rate: float = 0.01,
        **settings: Any,
    ) -> None:
        super().__init__(K, n_assets, hidden_dim, epochs=epochs, learning_rate=learning_rate, **settings)
        self.n_samples, self.prior_scale, self.n_observations = n_samples, prior_scale, n_observations
        self.build(n_assets)

    def build(self, assets: int | None) -> None:
        super().build(assets)
        self.log_deviations = nn.ParameterList(
            torch.full_like(mean, START * prior).log() for mean, prior in self._means_and_priors()
        )
        self._calls = 0

    def _encoder(self, tokens: int, generator: torch.Generator) -> nn.Module:
        return Perceptron(tokens, self.hidden_dim, generator)

    def _means_and_priors(self) -> list[tuple[Tensor, float]]:
        """Posterior mean and prior deviation of each tensor of the network, in the order of its parameters."""
        layers = [] if self.network is None else [one for one in self.network.modules() if isinstance(one, Affine)]
        return [
            (mean, self.prior_scale / max(layer.weight.shape[1], 1) ** 0.5)
            for layer in layers
            for mean in layer.parameters()
        ]

    def divergence(self) -> Float[Tensor, ""]:
        """KL(q, p) = sum_i log(p_i / s_i) + (s_i^2 + m_i^2) / (2 p_i^2) - 1/2, in nats; p_i the prior deviation."""
        total = torch.zeros((), device=self.feature_mean.device)
        for (mean, prior), log_deviation in zip(self._means_and_priors(), self.log_deviations, strict=True):
            log_ratio = log_deviation - math.log(prior)
            total = total + ((2 * log_ratio).exp() + (mean / prior).square() - 1 - 2 * log_ratio).sum() / 2
        return total

    def loss(
        self, weights: Float[Tensor, "batch *time assets"], returns: Float[Tensor, "batch times assets"]
    ) -> Float[Tensor, ""]:
        """Loss of the weights, and KL / N."""
        rows = getattr(self, "n_observations_", returns.shape[0] * returns.shape[1])
        return super().loss(weights, returns) + self.divergence() / (self.n_observations or rows)

    def draw(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Parameters of one network from the posterior, by name."""
        assert self.network is not None
        drawn = {}
        for (name, mean), log_deviation in zip(self.network.named_parameters(), self.log_deviations, strict=True):
            noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype).to(mean.device)
            drawn[name] = mean + log_deviation.exp() * noise
        return drawn

    def _scores(self, state: MarketState) -> tuple[Tensor, Tensor]:
        assert self.network is not None
        if self.training:
            self._calls += 1
            samples, generator = 1, self._stream("training", self._calls)
        else:
            samples, generator = self.n_samples, self._stream("decision")
        inputs = self._inputs(state)
        read = [functional_call(self.network, self.draw(generator), inputs) for _ in range(samples)]
        scores, urgency = zip(*read, strict=True)
        return torch.stack(scores), torch.stack(urgency)

    def predict_distribution(
        self, regimes: Float[Tensor, "batch *time regimes"], **known: Tensor | None
    ) -> WeightDistribution:
        """Mean and standard deviation of the weights over networks of the posterior; the mean keeps the constraint.

        Takes the arguments of :meth:`forward`. The deviation is epistemic: it falls with the number of observations,
        and is larger for beliefs unlike those of the training data.

        Raises:
            InputError: in training mode, in which one network at a time is drawn.
        """
        if self.training:
            raise InputError("predict_distribution: the allocator is in training mode; call eval() first")
        state = self.state(regimes, **known)
        paths = self.follow(*self.read(state), state.previous, state.returns)
        mean, std = self.combine(paths), paths.std(0)
        return (
            WeightDistribution(mean.squeeze(1), std.squeeze(1)) if regimes.ndim == 2 else WeightDistribution(mean, std)
        )

    def _check(self, assets: int | None) -> None:
        super()._check(assets)
        name = type(self).__name__
        if self.n_samples < 2:
            raise InputError(f"{name}: n_samples={self.n_samples} shows no spread; say at least 2")
        if not self.prior_scale > 0:
            raise InputError(f"{name}: prior_scale={self.prior_scale:g} is not above 0")
        if self.n_observations is not None and self.n_observations < 1:
            raise InputError(f"{name}: n_observations={self.n_observations} is too few; say at least 1")
