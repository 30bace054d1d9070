"""Decision heads: linear maps from features to the network's output."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from praesidium.component import Component
from praesidium.policies.layers import Dense
from praesidium.training.reproducibility import stream


class HeadNetwork(nn.Module, ABC):
    """psi: the map whose gradients the invariance objectives look at."""

    @abstractmethod
    def forward(
        self, features: Float[Tensor, "*batch width"], environment: Tensor | None
    ) -> Float[Tensor, "*batch outputs"]:
        """Outputs of one day or of all; ``environment`` is the label of each path, known in training only."""


class Head(Component):
    """Settings of a decision head."""

    @abstractmethod
    def build(self, width: int, outputs: int, environments: int, *, seed: int, gain: float) -> HeadNetwork:
        """The network, with initial values that depend on the seed alone."""


class Shared(Head, kind="shared"):
    """One head for every environment, seen or unseen."""

    def build(self, width: int, outputs: int, environments: int, *, seed: int, gain: float) -> HeadNetwork:
        return SharedHead(Dense(width, outputs, stream(seed, "init", "head"), gain=gain, hidden=True))


class PerEnvironment(Head, kind="per_environment"):
    """A head for each training environment, for ablations; an unseen environment gets the mean of their outputs."""

    def build(self, width: int, outputs: int, environments: int, *, seed: int, gain: float) -> HeadNetwork:
        generators = [stream(seed, "init", "head", number) for number in range(environments)]
        return EnvironmentHeads([Dense(width, outputs, generator, gain=gain, hidden=True) for generator in generators])


class SharedHead(HeadNetwork):
    """y = z W + b."""

    def __init__(self, layer: Dense) -> None:
        super().__init__()
        self.layer = layer

    def forward(
        self, features: Float[Tensor, "*batch width"], environment: Tensor | None
    ) -> Float[Tensor, "*batch outputs"]:
        return self.layer(features)


class EnvironmentHeads(HeadNetwork):
    """y = z W_e + b_e."""

    def __init__(self, layers: list[Dense]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(
        self, features: Float[Tensor, "*batch width"], environment: Tensor | None
    ) -> Float[Tensor, "*batch outputs"]:
        outputs = torch.stack([layer(features) for layer in self.layers])
        if environment is None:
            return outputs.mean(0)
        chosen = environment.unsqueeze(-1).expand(outputs.shape[1:])
        return outputs.gather(0, chosen.unsqueeze(0)).squeeze(0)
