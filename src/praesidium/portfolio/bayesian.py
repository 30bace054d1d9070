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
    E_q[loss] + temperature KL(q, p) / N over N observations, which brings q near the Gibbs posterior, in proportion to
    p exp(-N loss / temperature): in training mode each call draws one network. Otherwise the weights are the mean over
    ``n_samples`` networks, the same at every call.

    A loss is no likelihood, and its scale is open: ``temperature`` is how many rows count as one observation. At 21, a
    month of days, with the default loss and prior, the best portfolio of simulated returns lies within about one
    deviation of the mean that ``fit`` finds, for 150 to 2400 rows. At 1 the weights follow the noise of short samples.

    Args:
        n_samples: networks drawn for a decision, at least 2.
        prior_scale: deviation of the prior, in those that keep the size of what passes through an affine layer; about
            1.7 makes up for what silu takes, so that the prior holds weights far from equal possible.
        temperature: rows to an observation, above 0; for the log-likelihood of a row as the loss it is 1.
        n_observations: N; None is the number of rows in ``fit``, and in another training loop that of the batch: say
            the number of rows of the data where batches are much smaller.
        settings: of every :class:`praesidium.portfolio.allocator.Allocator`.

    Source: Blundell et al. 2015 (Bayes by backprop), eq. 3; with a loss in place of a likelihood Bissiri et al. 2016,
    section 3 on its scale, chosen by what the deviations cover as in Syring and Martin 2019.
    """

    _calls: Tensor

    loose = Allocator.loose | {"n_samples", "temperature", "n_observations"}

    def __init__(
        self,
        K: int = 3,
        n_assets: int | None = None,
        hidden_dim: int = 32,
        n_samples: int = 10,
        *,
        prior_scale: float = 1.7,
        temperature: float = 21.0,
        n_observations: int | None = None,
        epochs: int = 60,
        learning_rate: float = 0.01,
        **settings: Any,
    ) -> None:
        super().__init__(K, n_assets, hidden_dim, epochs=epochs, learning_rate=learning_rate, **settings)
        self.n_samples, self.prior_scale = n_samples, prior_scale
        self.temperature, self.n_observations = temperature, n_observations
        self.build(n_assets)

    def build(self, assets: int | None) -> None:
        super().build(assets)
        self.log_deviations = nn.ParameterList(
            torch.full_like(mean, START * prior).log() for mean, prior in self._means_and_priors()
        )
        self.register_buffer("_calls", torch.zeros((), dtype=torch.int64), persistent=False)

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

    def data_loss(
        self, weights: Float[Tensor, "batch *time assets"], returns: Float[Tensor, "batch times assets"]
    ) -> Float[Tensor, ""]:
        """Loss of the weights alone."""
        return super().loss(weights, returns)

    def regularizer(self, observations: int) -> Float[Tensor, ""]:
        """temperature KL / N, once a step; ``observations`` is N where neither a setting nor ``fit`` says it."""
        known = self.n_observations or getattr(self, "n_observations_", observations)
        return self.temperature * self.divergence() / known

    def loss(
        self, weights: Float[Tensor, "batch *time assets"], returns: Float[Tensor, "batch times assets"]
    ) -> Float[Tensor, ""]:
        """Loss of the weights of a whole batch, and temperature KL / N."""
        return self.data_loss(weights, returns) + self.regularizer(returns.shape[0] * returns.shape[1])

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
            samples, generator = 1, self._stream("training", int(self._calls))
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

        Takes the arguments of :meth:`forward`. The deviation is what prior and data leave open at ``temperature``: with
        few rows that of the prior, with more of them less. It says nothing of the returns to come.

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
        if not 0 < self.temperature < math.inf:
            raise InputError(
                f"{name}: temperature={self.temperature:g} is not a number above 0; say 21 to count a month of days as "
                "one observation"
            )
        if self.n_observations is not None and self.n_observations < 1:
            raise InputError(f"{name}: n_observations={self.n_observations} is too few; say at least 1")
