"""Every objective for every test that asks for one, and situations to put it in."""

from typing import get_args

import pytest
import torch

from praesidium.objectives.and_mask import ANDMask
from praesidium.objectives.env_cvar import EnvironmentCVaR
from praesidium.objectives.groupdro import GroupDRO
from praesidium.objectives.hirm import HIRM
from praesidium.objectives.objective import Objective
from praesidium.training.reproducibility import stream

EVERY = [
    *(member() for _, member in sorted(Objective.registry.items())),
    *(HIRM(form=form) for form in get_args(HIRM.model_fields["form"].annotation) if HIRM(form=form) != HIRM()),
    GroupDRO(hard=True),
    EnvironmentCVaR(share=0.3),
    ANDMask(threshold=0.4),
]
AXES = {  # of each part, behind the one of environments
    "risks": (),
    "halves": (6,),
    "spread": (6,),
    "noise": (),
    "whole": (9,),
    "scale": (),
    "residual": (),
    "means": (3,),
    "covariances": (3, 3),
}
POSITIVE = ("spread", "noise", "residual")


def name(objective):
    """Its kind, and what is not as by default."""
    default = type(objective)()
    changed = [f"{key}={value}" for key, value in objective if value != getattr(default, key)]
    return "-".join([objective.kind, *changed])


class Given:
    """Risks, and sensitivities at hand: leaves of a graph, and a count of how often they were asked for."""

    def __init__(self, **parts):
        self.parts = {key: part.detach().clone().requires_grad_() for key, part in parts.items()}
        self.asked = 0

    @classmethod
    def drawn(cls, purpose=0, environments=4, replicas=()):
        """Risks of the order of one."""
        parts = {}
        for key, axes in AXES.items():
            shape = ((2,) if key == "halves" else ()) + (*replicas, environments, *axes)
            generator = stream("tests", "objective", purpose, key, *shape)
            part = torch.randn(shape, dtype=torch.float64, generator=generator)
            parts[key] = 1 + 0.3 * part if key == "risks" else part.square() if key in POSITIVE else part
        return cls(**parts)

    def changed(self, **parts):
        return Given(**{**self.parts, **parts})

    def each(self, change):
        """With every part changed; the change is told the part and where its environments are."""
        return Given(**{key: change(part, -1 - len(AXES[key])) for key, part in self.parts.items()})

    def order(self, order):
        return self.each(lambda part, axis: part.index_select(axis, torch.as_tensor(order)))

    def equal(self, environments=3):
        """As many environments, all like the first."""
        return self.order([0] * environments)

    def replica(self, row):
        return Given(**{key: part.select(int(key == "halves"), row) for key, part in self.parts.items()})

    def derivatives(self, loss):
        wanted = list(self.parts.values())
        slopes = torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True)
        return dict(zip(self.parts, slopes, strict=True))

    def total(self, slopes):
        """Sums over environments, by part."""
        return {key: slope.sum(-1 - len(AXES[key])) for key, slope in slopes.items()}

    @property
    def risks(self):
        return self.parts["risks"]

    @property
    def gradients(self):
        return self.parts["halves"].mean(0)

    def head(self):
        return self._ask("halves").mean(0)

    def head_halves(self):
        return self._ask("halves")

    def head_spread(self):
        return self._ask("spread")

    def head_noise(self):
        return self._ask("noise").detach()

    def whole(self):
        return self._ask("whole")

    def scale(self):
        return self._ask("scale")

    def residual(self):
        return self._ask("residual")

    def moments(self):
        return self._ask("means"), self._ask("covariances")

    def _ask(self, key):
        self.asked += 1
        return self.parts[key]


@pytest.fixture(params=EVERY, ids=name)
def objective(request):
    """One after the other, every member of the family."""
    return request.param


@pytest.fixture(scope="session")
def situation():
    """Draws risks and sensitivities: ``situation(purpose, environments=4, replicas=())``."""
    return Given.drawn
