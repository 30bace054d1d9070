"""Training of the hedgers that know the regime: their gradients are those of the full graph, to second order."""

from functools import cache

import pytest
import torch

from praesidium.component import InputError
from praesidium.experiments.methods import METHODS, overrides_of
from praesidium.experiments.study import compose
from praesidium.experiments.task import HedgingTask
from praesidium.hedging.liabilities.european_call import EuropeanCall
from praesidium.hedging.listed import Listed
from praesidium.hedging.regime_view import RegimeView
from praesidium.hedging.rollout import Scene
from praesidium.hedging.state_builder import StateSettings
from praesidium.markets.heston import Heston
from praesidium.policies.policy import Sizes
from praesidium.risk import smoothed_cvar, tail_edge
from praesidium.training.reproducibility import stream

LEVEL, SMOOTHING, ROUNDING, HORIZON = 0.9, 0.3, 1e-2, 12
BATCH = [slice(0, 80), slice(10, 90)]
OPTION = (Listed(days=45, cost_multiple=10),)
NAMES = ("regime_delta", "dynamic_delta", "lstm_delta", "cost_aware", "transition_aware")
each = pytest.mark.parametrize("name", NAMES)


@cache
def policy_of(name):
    """The policy of the method, of fewer units."""
    policy = compose(overrides_of(name)).policy
    return policy.model_copy(update={"encoder": policy.encoder.model_copy(update={"width": 5})})


@cache
def scenes_of(instruments):
    left = [list(range(HORIZON, -1, -1)), *(one.days_left(HORIZON) for one in instruments)]
    paths = [
        Heston(theta=level, v0=(level, level)).simulate(
            paths=96, horizon=HORIZON, lookback=20, generator=stream("tests", name), left=left, dtype=torch.float64
        )
        for name, level in (("calm", 0.03), ("wild", 0.2))
    ]
    builder = StateSettings(regimes=RegimeView(paths=32)).fit(paths, EuropeanCall(), instruments)
    rates = (5e-4, 2e-3)
    return [Scene.make(one, builder, rates[number], number) for number, one in enumerate(paths)]


def case_of(name):
    """A rule away from its start, its scenes, its task, its numbers."""
    instruments = OPTION if name == "dynamic_delta" else ()
    sizes = Sizes(
        phi=4, context=5, environments=2, instruments=1 + len(instruments), regimes=3, option=bool(instruments)
    )
    rule, scenes = policy_of(name).build(sizes, seed=5).double(), scenes_of(instruments)
    with torch.no_grad():
        for parameter in rule.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=stream("tests", "away", *parameter.shape)))
    settings = {"level": LEVEL, "smoothing": SMOOTHING, "cost_smoothing": ROUNDING}
    values = torch.cat([one.detach().flatten() for one in rule.parameters()]).unsqueeze(0)
    return HedgingTask(rule, [scenes, scenes], scenes, scale=[1.0, 1.0], **settings), scenes, values


@pytest.fixture
def fixed_widths(monkeypatch):
    """Keeps the widths of the tail boundaries that are found first, as derivatives take them."""
    widths = {}

    def edge(losses, *, level, smoothing):
        width = widths.setdefault(losses.shape, tail_edge(losses, level=level, smoothing=smoothing)[1])
        low, high = losses.amin(1, keepdim=True) - width, losses.amax(1, keepdim=True) + width
        for _ in range(60):
            tau = (low + high) / 2
            filled = ((losses - tau + width) / (2 * width)).clamp(0, 1).mean(1, keepdim=True)
            low, high = torch.where(filled > 1 - level, tau, low), torch.where(filled > 1 - level, high, tau)
        return tau, width

    monkeypatch.setattr("praesidium.experiments.task.tail_edge", edge)


@each
def test_a_method_needs_what_its_row_says(name):
    study = compose(overrides_of(name))
    assert study.objective.kind == "erm"
    assert study.sizes.regimes == 3
    assert len(study.instruments) == (name == "dynamic_delta")
    if name != "lstm_delta":  # a memory works without
        with pytest.raises(InputError, match=r"say state\.regimes\.n_regimes=3"):
            study.policy.build(Sizes(4, 5, 2, instruments=2, option=True), seed=0)
    assert METHODS[name].says


@each
def test_the_gradient_of_the_risk_is_that_of_all_episodes(name):
    task, scenes, values = case_of(name)
    measured = task.measure(values, [BATCH], [0])
    ours = measured.gradient(measured.risks.mean(-1))[0]
    leaf, risks = values.clone().requires_grad_(), []
    for scene, run in zip(scenes, BATCH, strict=True):
        one = scene.take(run)
        losses = one.losses(task.parameters.bind(leaf[0]).positions(one.state), smoothing=ROUNDING)
        edge = tail_edge(losses.detach().unsqueeze(0), level=LEVEL, smoothing=SMOOTHING)
        group = torch.zeros(len(losses), dtype=torch.long)
        risks.append(smoothed_cvar(losses, group, edge, level=LEVEL, episodes=len(losses))[0])
    torch.testing.assert_close(measured.risks[0], torch.cat(risks), atol=1e-12, rtol=1e-10)
    (expected,) = torch.autograd.grad(torch.cat(risks).mean(), leaf)
    torch.testing.assert_close(ours, expected[0], atol=1e-12, rtol=1e-8)
    assert ours.abs().max() > 0


@pytest.mark.usefixtures("fixed_widths")
@each
def test_a_penalty_on_head_gradients_moves_parameters_as_differences_say(name):
    task, _, values = case_of(name)
    measured = task.measure(values, [BATCH], [0])
    slopes = measured.gradient(measured.head().square().sum((-1, -2)))[0]
    way = torch.randn(values.shape, dtype=values.dtype, generator=stream("tests", "way"))
    ends = [task.measure(values + step * way, [BATCH], [0]).head().square().sum().item() for step in (1e-6, -1e-6)]
    assert (slopes @ way[0]).item() == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-4, abs=1e-7)


@each
def test_replicas_are_those_trained_alone(name):
    task, _, values = case_of(name)
    both = torch.cat([values, 0.7 * values])
    together = task.measure(both, [BATCH, BATCH], [0, 1])
    gradients = together.gradient(together.risks.mean(-1))
    for number in range(2):
        alone = task.measure(both[number : number + 1], [BATCH], [0])
        torch.testing.assert_close(gradients[number], alone.gradient(alone.risks.mean(-1))[0], atol=1e-12, rtol=1e-9)
