"""The training task: risks by environment from the tail alone, and their sensitivities at the decision head."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from praesidium.diagnostics.scorecard import LEVEL
from praesidium.hedging.rollout import Scene
from praesidium.policies.policy import Trace, TrainableRule
from praesidium.risk import cvar, smoothed_cvar, tail_edge


class HedgingTask:
    """Smoothed CVaR of the loss in each environment, with the gradient of the full computation at the cost of its tail.

    All episodes of a batch are rolled out without a graph; those in the tail, which are all that the smoothed CVaR
    and its derivatives depend on, are rolled out again with one.

    Args:
        rule: the policy in training.
        scenes: the pool of each training environment.
        validation: the scenes on which checkpoints are compared.
        level: confidence of the CVaR.
        smoothing: half width of the tail boundary in standard deviations.
        cost_smoothing: rounding of the kink of the costs.
        scale: what risks are divided by.
    """

    def __init__(
        self,
        rule: TrainableRule,
        scenes: list[Scene],
        validation: list[Scene],
        *,
        level: float,
        smoothing: float,
        cost_smoothing: float,
        scale: float,
    ) -> None:
        self.rule = rule
        self.scenes, self.validation = scenes, validation
        self.level, self.smoothing, self.cost_smoothing, self.scale = level, smoothing, cost_smoothing, scale

    def risks(self, batch: list[slice]) -> tuple[Float[Tensor, " environments"], TailSensitivities]:
        """Scaled risk of each environment and its sensitivities, on equally many episodes of each.

        Raises:
            FloatingPointError: if the policy has left the realm of numbers.
        """
        scene = Scene.join([one.take(run) for one, run in zip(self.scenes, batch, strict=True)])
        with torch.no_grad():
            losses = scene.losses(self.rule.positions(scene.state), smoothing=self.cost_smoothing)
            if not torch.isfinite(losses).all():
                raise FloatingPointError("a loss is no longer finite; lower train.learning_rate")
            by_environment = losses.view(len(batch), -1)
            tau, width = tail_edge(by_environment, level=self.level, smoothing=self.smoothing)
            group, member = (by_environment > tau - width).nonzero(as_tuple=True)
            episodes = by_environment.shape[1]
        tail = scene.take(group * episodes + member)
        trace = Trace()
        gain = tail.hedge_gain(self.rule.positions(tail.state, trace), smoothing=self.cost_smoothing)
        risks, weights = smoothed_cvar(tail.owed - gain, group, (tau, width), level=self.level, episodes=episodes)
        sensitivities = TailSensitivities(risks / self.scale, weights / self.scale, gain, group, trace)
        return risks / self.scale, sensitivities

    @torch.no_grad()
    def validate(self) -> float:
        """Exact CVaR-95, mean over the validation environments, in units of the spot."""
        risks = [cvar(one.losses(self.rule.positions(one.state)).double(), level=LEVEL) for one in self.validation]
        return torch.stack(risks).mean().item()


class TailSensitivities:
    """Derivatives of the risks of one batch; each is computed when it is asked for."""

    def __init__(self, risks: Tensor, weights: Tensor, gain: Tensor, group: Tensor, trace: Trace) -> None:
        self._risks, self._weights, self._gain, self._group, self._trace = risks, weights, gain, group, trace

    def head(self) -> Float[Tensor, "environments parameters"]:
        """Gradient in the weights and the bias of the linear head.

        With y_t = W z_t + b on every day, dR_e/dW = sum over tail episodes of e and days of dR/dy_t z_t'. One backward
        pass to all y_t serves every environment, for their episodes are apart; the effect of y_t on later days
        through the inventory is in it.
        """
        slopes = torch.autograd.grad(self._risks.sum(), self._trace.outputs, create_graph=True)
        slope, features = torch.stack(slopes), torch.stack(self._trace.features)
        features = torch.cat([features, torch.ones_like(features[..., :1])], dim=-1)
        each = torch.einsum("tno,tnf->nof", slope, features).flatten(1)
        return each.new_zeros(len(self._risks), each.shape[1]).index_add(0, self._group, each)

    def scale(self) -> Float[Tensor, " environments"]:
        """Derivative in a factor on all executed positions: minus the mean hedge gain in the tail."""
        return torch.zeros_like(self._risks).index_add(0, self._group, -self._weights * self._gain)
