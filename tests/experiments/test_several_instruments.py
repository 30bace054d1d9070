"""Training on several instruments, with every friction and with limits: gradients are those of the full graph."""

import pytest
import torch

from praesidium.data.frictions import Frictions
from praesidium.experiments.task import HedgingTask
from praesidium.hedging.liabilities.european_call import EuropeanCall
from praesidium.hedging.limits import Limits
from praesidium.hedging.listed import Listed
from praesidium.hedging.rollout import Scene
from praesidium.hedging.state_builder import StateSettings
from praesidium.markets.heston import Heston
from praesidium.policies.encoders import Joint, Split
from praesidium.policies.neural import Neural
from praesidium.policies.outputs import Band, Free, Residual, Trade
from praesidium.policies.policy import Sizes
from praesidium.risk import smoothed_cvar, tail_edge
from praesidium.training.reproducibility import stream

LEVEL, SMOOTHING, ROUNDING, HORIZON = 0.9, 0.3, 1e-2, 12
BATCH = [slice(0, 80), slice(10, 90)]
OPTIONS = (Listed(right="put", moneyness=0.95, days=5, cost_multiple=20), Listed(days=45, cost_multiple=10))
FRICTIONS = Frictions(quadratic=0.01, impact=0.02, fixed=1e-4, widening=1.0, margin=1e-4, unwind=True)
CASES = {
    "options": (OPTIONS, None, Frictions()),
    "frictions": ((), None, FRICTIONS),
    "limits": ((), Limits(position=(-0.1, 0.8), trade=0.3), Frictions()),
    "everything": (OPTIONS, Limits(position=(-0.5, 0.9), trade=0.3), FRICTIONS),
}
every_case = pytest.mark.parametrize("case", CASES)


def drawn(name, level):
    left = [list(range(HORIZON, -1, -1)), *(one.days_left(HORIZON) for one in OPTIONS)]
    market = Heston(theta=level, v0=(level, level))
    return market.simulate(
        paths=96, horizon=HORIZON, lookback=20, generator=stream("tests", name), left=left, dtype=torch.float64
    )


def scenes_of(case):
    instruments, limits, frictions = CASES[case]
    paths = [drawn("calm", 0.03), drawn("wild", 0.2)]
    builder = StateSettings().fit(paths, EuropeanCall(), instruments, limits)
    return [
        Scene.make(one, builder, rate, number, frictions=frictions)
        for number, (one, rate) in enumerate(zip(paths, (5e-4, 2e-3), strict=True))
    ]


def rule_of(case, encoder, output):
    sizes = Sizes(phi=4, context=5, environments=2, instruments=1 + len(CASES[case][0]))
    rule = Neural(encoder=encoder, output=output).build(sizes, seed=5).double()
    generator = stream("tests", "away from the start")
    with torch.no_grad():
        for parameter in rule.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return rule


def values_of(rule):
    return torch.cat([one.detach().flatten() for one in rule.parameters()]).unsqueeze(0)


def task_of(rule, scenes, **options):
    settings = {"level": LEVEL, "smoothing": SMOOTHING, "cost_smoothing": ROUNDING, "scale": [1.0]} | options
    return HedgingTask(rule, [scenes], scenes, **settings)


def full_risks(task, values, scenes):
    rule, risks = task.parameters.bind(values[0]), []
    for scene, run in zip(scenes, BATCH, strict=True):
        one = scene.take(run)
        losses = one.losses(rule.positions(one.state), smoothing=ROUNDING)
        edge = tail_edge(losses.detach().unsqueeze(0), level=LEVEL, smoothing=SMOOTHING)
        group = torch.zeros(len(losses), dtype=torch.long)
        risk, _ = smoothed_cvar(losses, group, edge, level=LEVEL, episodes=len(losses))
        risks.append(risk)
    return torch.cat(risks)


@pytest.fixture
def fixed_widths(monkeypatch):
    """Keeps the widths of the tail boundaries that are found first, as derivatives take them."""
    widths = {}

    def edge(losses, *, level, smoothing):
        width = widths.setdefault(losses.shape, tail_edge(losses, level=level, smoothing=smoothing)[1])
        low, high = losses.amin(1, keepdim=True) - width, losses.amax(1, keepdim=True) + width
        for _ in range(100):
            tau = (low + high) / 2
            filled = ((losses - tau + width) / (2 * width)).clamp(0, 1).mean(1, keepdim=True)
            low, high = torch.where(filled > 1 - level, tau, low), torch.where(filled > 1 - level, high, tau)
        return tau, width

    monkeypatch.setattr("praesidium.experiments.task.tail_edge", edge)


@every_case
@pytest.mark.parametrize("tile", [4096, 50])
@pytest.mark.parametrize("output", [Residual(), Free(), Band(), Trade()], ids=lambda one: one.kind)
def test_the_gradient_of_the_risk_is_that_of_all_episodes(case, output, tile):
    rule, scenes = rule_of(case, Split(width=6), output), scenes_of(case)
    task, values = task_of(rule, scenes, tile=tile), values_of(rule_of(case, Split(width=6), output))
    measured = task.measure(values, [BATCH], [0])
    ours = measured.gradient(measured.risks.mean(-1))[0]
    leaf = values.clone().requires_grad_()
    risks = full_risks(task, leaf, scenes)
    torch.testing.assert_close(measured.risks[0], risks, atol=1e-12, rtol=1e-10)
    (expected,) = torch.autograd.grad(risks.mean(), leaf)
    torch.testing.assert_close(ours, expected[0], atol=1e-12, rtol=1e-8)


@pytest.mark.usefixtures("fixed_widths")
@pytest.mark.parametrize("case", ["options", "frictions"])  # limits have kinks, which second derivatives leave out
def test_a_penalty_on_head_gradients_moves_parameters_as_differences_say(case):
    rule, scenes = rule_of(case, Joint(width=6), Residual()), scenes_of(case)
    task, values = task_of(rule, scenes), values_of(rule)

    def penalty(at):
        return task.measure(at, [BATCH], [0]).head().square().sum()

    measured = task.measure(values, [BATCH], [0])
    slopes = measured.gradient(measured.head().square().sum((-1, -2)))[0]
    for number in range(3):
        way = torch.randn(values.shape, dtype=values.dtype, generator=stream("tests", "way", number))
        ends = [penalty(values + step * way).item() for step in (1e-6, -1e-6)]
        assert (slopes @ way[0]).item() == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-8)


@pytest.mark.usefixtures("fixed_widths")
@pytest.mark.parametrize("case", ["frictions", "everything"])
def test_the_slope_in_a_factor_on_all_positions_is_a_difference_and_so_is_its_gradient(case):
    rule, scenes = rule_of(case, Joint(width=6), Residual()), scenes_of(case)
    task, values = task_of(rule, scenes), values_of(rule)
    measured = task.measure(values, [BATCH], [0])
    slope = measured.scale()[0]
    bound = task.parameters.bind(values[0])
    for number, (scene, run) in enumerate(zip(scenes, BATCH, strict=True)):
        one = scene.take(run)
        with torch.no_grad():
            held = bound.positions(one.state)
        losses = one.losses(held, smoothing=ROUNDING).unsqueeze(0)
        edge = tail_edge(losses, level=LEVEL, smoothing=SMOOTHING)
        ends = []
        for factor in (1 + 1e-6, 1 - 1e-6):
            moved = one.losses(factor * held, smoothing=ROUNDING)
            zero = torch.zeros(moved.shape[0], dtype=torch.long)
            ends.append(smoothed_cvar(moved, zero, edge, level=LEVEL, episodes=len(moved))[0].item())
        expected = (ends[0] - ends[1]) / 2e-6
        assert slope[number].item() == pytest.approx(expected, rel=1e-6)

    def square(at):
        return task.measure(at, [BATCH], [0]).scale().square().sum().item()

    slopes = measured.gradient(measured.scale().square().sum(-1))[0]
    for number in range(3):
        way = torch.randn(values.shape, dtype=values.dtype, generator=stream("tests", "way", number))
        ends = [square(values + step * way) for step in (1e-6, -1e-6)]
        assert (slopes @ way[0]).item() == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-9)


def test_the_distance_from_the_textbook_hedge_counts_every_instrument():
    rule, scenes = rule_of("options", Joint(width=6), Residual()), scenes_of("options")
    measured = task_of(rule, scenes).measure(values_of(rule), [BATCH], [0])
    distance = measured.residual()
    assert (distance > 0).all()
    losses = measured.gradient(distance.sum(-1))
    assert losses.abs().max() > 0


def test_replicas_of_several_instruments_are_those_trained_alone():
    scenes = scenes_of("everything")
    rules = [rule_of("everything", Joint(width=6), Residual()) for _ in range(2)]
    with torch.no_grad():
        for parameter in rules[1].parameters():
            parameter.mul_(0.7)
    values = torch.cat([values_of(one) for one in rules])
    options = {"level": LEVEL, "smoothing": SMOOTHING, "cost_smoothing": ROUNDING, "scale": [1.0, 1.0]}
    together = HedgingTask(rules[0], [scenes, scenes], scenes, **options).measure(values, [BATCH, BATCH], [0, 1])
    both = together.gradient(together.risks.mean(-1) + together.head().square().sum((-1, -2)))
    for number, rule in enumerate(rules):
        alone = task_of(rule, scenes).measure(values_of(rule), [BATCH], [0])
        single = alone.gradient(alone.risks.mean(-1) + alone.head().square().sum((-1, -2)))
        torch.testing.assert_close(both[number], single[0], atol=1e-12, rtol=1e-9)
