"""HIRM: head gradient alignment across environments."""

from __future__ import annotations

import math
import warnings
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat, model_validator
from torch import Tensor

from praesidium.objectives.alignment import (
    cross_cosine,
    mean_cosine,
    mean_square,
    normalized_variance,
    unit_cosine,
    variance,
)
from praesidium.objectives.objective import Memory, Objective, Reach, Sensitivities, Terms, plain_erm

TWO = (
    "hirm: with two training environments every optimum of plain ERM has head gradients of opposite direction "
    "(cosine -1), where the cosine penalty has no gradient; use three or more environments, or form=nvar"
)
COLLAPSED = 0.01  # share of its first size below which a head gradient is called collapsed


class HIRM(Objective, kind="hirm"):
    """mean_e R_e + penalty P(g_1, ..., g_E), with g_e the gradient of the risk of e in the shared decision head.

    Forms of P, each measuring how far the environments disagree about the head:

    - ``nvar``: Var_e[g_e / stop |g_e|], the variance of normalized gradients;
    - ``cos``: 1 - mean pairwise cosine, the paper's headline;
    - ``var``: Var_e[g_e] / s^2 with s^2 the mean of |g_e|^2 at the end of the warm-up, the paper's integrated loss.

    ``anchor`` adds |mean_e g_e|^2 / s^2; with ``var`` and an anchor of 1 the penalty is mean_e |g_e|^2 / s^2 (IRM with
    the whole head as the classifier). At an optimum of plain ERM the gradients sum to zero, so that they can agree
    only by leaving it: the guard lowers the weight while the risk stands more than ``slack`` above the best seen.

    Attributes:
        form: which measure of disagreement.
        penalty: its weight; risks come in units of the delta hedge's.
        anchor: weight of the mean gradient within P.
        scope: gradients in the ``head``, or in ``all`` parameters (an ablation: invariance of everything).
        grad_to: what the penalty moves: both, only what comes before the head (phi), or only the head (psi).
        cross_fit: cosines from two independent halves of each batch (form ``cos``).
        floor: share of the gradient norm at the end of the warm-up below which a gradient counts as noise.
        noise_floor: whether a gradient also counts as noise below its sampling error in the batch.
        guard: whether the slack is enforced; if not given, for the form ``cos`` alone.
        slack: relative training risk that alignment may cost.
        memory: weight of the past in the moving average of the risk that the guard compares.

    Source: Praesidium; the cosine on the head gradient appears in CGDM (arXiv 2106.04151), the variance is IGA (arXiv
    2008.01883) at the head, both parts of the anchored variance are IRM (arXiv 1907.02893).
    """

    form: Literal["nvar", "cos", "var"] = "nvar"
    penalty: NonNegativeFloat = 0.1
    anchor: NonNegativeFloat = 0.0
    scope: Literal["head", "all"] = "head"
    grad_to: Reach = "both"
    cross_fit: bool = False
    floor: float = Field(default=0.05, ge=0, lt=1)
    noise_floor: bool = False
    guard: bool | None = None
    slack: float = Field(default=0.05, gt=0)
    memory: float = Field(default=0.9, ge=0, lt=1)

    @model_validator(mode="after")
    def _consistent(self) -> HIRM:
        if self.cross_fit and (self.form != "cos" or self.scope != "head"):
            raise ValueError("cross_fit=true is for form=cos with scope=head; leave it out or change them")
        return self

    def terms(
        self, risks: Float[Tensor, "*replicas environments"], sensitivities: Sensitivities, ramp: float, memory: Memory
    ) -> Terms:
        risk = risks.mean(-1)
        share = self._guard(risk.detach(), memory)
        if self.form == "cos" and risks.shape[-1] == 2:
            warnings.warn(TWO, stacklevel=3)
        if ramp == 0:
            return plain_erm(risks)
        gradients = sensitivities.head() if self.scope == "head" else sensitivities.whole()
        norms = gradients.detach().norm(dim=-1)
        first = memory.setdefault("norms", norms)
        floor, noise = self._floor(first, norms, sensitivities)
        weight = ramp * self.penalty * share
        halves = sensitivities.head_halves() if self.scope == "head" else None
        penalty = self._penalty(gradients, halves, floor, first.square().mean(-1).clamp(min=_tiny(norms) ** 2))
        log = {
            "head_norms": norms,
            "cosine": unit_cosine(gradients.detach()),
            "agreement": gradients.detach().mean(-2).norm(dim=-1) / norms.mean(-1).clamp(min=_tiny(norms)),
            "misalignment": penalty.detach(),
            "penalty_weight": weight.detach(),
            "collapsed": (norms.mean(-1) < COLLAPSED * first.mean(-1)).to(norms.dtype),
        }
        if halves is not None and noise is not None:
            log["cross_cosine"] = cross_cosine(halves.detach(), floor).clamp(-1, 1)
            log["noise_to_signal"] = noise / norms.square().clamp(min=_tiny(norms) ** 2)
        return Terms(risk=risk, penalty=weight * penalty, log=log, reach=self.grad_to)

    def _penalty(
        self, gradients: Tensor, halves: Tensor | None, floor: Tensor, scale: Float[Tensor, "*replicas"]
    ) -> Float[Tensor, "*replicas"]:
        if self.form == "cos":
            cosine = cross_cosine(halves, floor) if self.cross_fit and halves is not None else None
            penalty = 1 - (mean_cosine(gradients, floor) if cosine is None else cosine)
        elif self.form == "var":
            penalty = variance(gradients) / scale
        else:
            penalty = normalized_variance(gradients, floor)
        return penalty + self.anchor * mean_square(gradients.mean(-2, keepdim=True)) / scale

    def _floor(
        self, first: Tensor, norms: Tensor, sensitivities: Sensitivities
    ) -> tuple[Float[Tensor, "*replicas environments"], Float[Tensor, "*replicas environments"] | None]:
        """Size below which a gradient counts as noise, and its sampling variance where that is known."""
        floor = self.floor * first + _tiny(norms)
        if self.scope == "all":
            return floor, None
        noise = sensitivities.head_noise()
        return (torch.maximum(floor, noise.sqrt()) if self.noise_floor else floor), noise

    def _guard(self, risk: Float[Tensor, "*replicas"], memory: Memory) -> Float[Tensor, "*replicas"]:
        """Share of the penalty's weight in force; lowered while the risk is beyond the slack."""
        average = torch.lerp(risk, memory.get("risk", risk), self.memory)
        best = torch.minimum(memory.get("best", average), average)
        share = memory.get("share", torch.ones_like(risk))
        if self.guard or (self.guard is None and self.form == "cos"):
            share = (share * torch.exp(1 - average / ((1 + self.slack) * best))).clamp(math.exp(-7), 1.0)
        memory.update(risk=average, best=best, share=share)
        return share


def _tiny(like: Tensor) -> float:
    return torch.finfo(like.dtype).tiny ** 0.5
