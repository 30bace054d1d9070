"""HIRM: head gradient alignment across environments."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat
from torch import Tensor

from praesidium.objectives.alignment import cosine_penalty, mean_cosine, mean_square, normalized_variance
from praesidium.objectives.objective import Memory, Objective, Sensitivities, Terms, no_penalty

FORMS = {"cos": cosine_penalty, "nvar": normalized_variance, "irm_head": mean_square}


class HIRM(Objective, kind="hirm"):
    """mean_e R_e + penalty P(g_1, ..., g_E), with g_e the gradient of the risk of e in the shared decision head.

    Forms of P: ``cos``, one minus the mean pairwise cosine (the paper's); ``nvar``, the variance of normalized
    gradients; ``irm_head``, the mean squared norm, which is their variance plus the square of their mean.
    At an optimum of plain ERM the gradients sum to zero, so that they can agree only by leaving it: the cosine form
    lowers its own weight while the risk stands more than ``slack`` above the best seen.

    Attributes:
        form: which measure of disagreement.
        penalty: its weight; risks come in units of the delta hedge's.
        floor: share of the gradient norm at the end of the warm-up below which a gradient counts as noise.
        slack: relative training risk that alignment may cost (form ``cos``).
        memory: weight of the past in the moving average of the risk that the guard compares.

    Source: Praesidium; the cosine on the head gradient appears in CGDM (arXiv 2106.04151), the variance form is IGA
    (arXiv 2008.01883) at the head, ``irm_head`` is IRM (arXiv 1907.02893) with the whole head as the classifier.
    """

    form: Literal["cos", "nvar", "irm_head"] = "cos"
    penalty: NonNegativeFloat = 0.1
    floor: float = Field(default=0.05, ge=0, lt=1)
    slack: float = Field(default=0.05, gt=0)
    memory: float = Field(default=0.9, ge=0, lt=1)

    def __call__(
        self, risks: Float[Tensor, "*replicas environments"], sensitivities: Sensitivities, ramp: float, memory: Memory
    ) -> Terms:
        risk = risks.mean(-1)
        share = self._guard(risk.detach(), memory)
        if ramp == 0:
            return Terms(risk=risk, penalty=no_penalty(risks))
        gradients = sensitivities.head()
        norms = gradients.detach().norm(dim=-1)
        floor = self.floor * memory.setdefault("norms", norms) + torch.finfo(norms.dtype).tiny ** 0.5
        weight = ramp * self.penalty * share
        penalty = FORMS[self.form](gradients, floor)
        return Terms(
            risk=risk,
            penalty=weight * penalty,
            log={
                "head_norms": norms,
                "cosine": mean_cosine(gradients.detach(), floor),
                "misalignment": penalty.detach(),
                "penalty_weight": weight.detach(),
            },
        )

    def _guard(self, risk: Float[Tensor, "*replicas"], memory: Memory) -> Float[Tensor, "*replicas"]:
        """Share of the penalty's weight in force; lowered while the risk is beyond the slack."""
        average = torch.lerp(risk, memory.get("risk", risk), self.memory)
        best = torch.minimum(memory.get("best", average), average)
        share = memory.get("share", torch.ones_like(risk))
        if self.form == "cos":
            share = (share * torch.exp(1 - average / ((1 + self.slack) * best))).clamp(math.exp(-7), 1.0)
        memory.update(risk=average, best=best, share=share)
        return share
