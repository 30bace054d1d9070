"""The training task: what the tail alone gives is what all episodes give, in value and in every derivative."""

from itertools import product

import pytest
import torch

from praesidium.experiments.task import HedgingTask
from praesidium.hedging.rollout import Scene
from praesidium.objectives.alignment import mean_cosine, mean_square, normalized_variance, variance
from praesidium.objectives.hirm import HIRM
from praesidium.policies.encoders import Joint, PhiOnly, Split
from praesidium.policies.heads import PerEnvironment, Shared
from praesidium.policies.neural import Neural
from praesidium.policies.outputs import Band, Free, Residual, Trade
from praesidium.policies.policy import Sizes
from praesidium.risk import cvar
from praesidium.training.reproducibility import stream

LEVEL, SMOOTHING, ROUNDING = 0.9, 0.3, 1e-3
SIZES = Sizes(phi=4, context=5, environments=2)
BATCH = [slice(4, 84), slice(10, 90)]
MEASURES = {
    "cos": lambda rows, floor: 1 - mean_cosine(rows, floor),
    "nvar": normalized_variance,
    "var": lambda rows, floor: variance(rows),
    "irm_head": lambda rows, floor: mean_square(rows),
}
networks = pytest.mark.parametrize(
    ("encoder", "output"),
    list(product([Joint(width=8), Split(width=8)], [Residual(), Free(), Band(), Trade()])),
    ids=lambda one: one.kind,
)


def network(encoder=None, output=None, head=None):
    policy = Neural(encoder=encoder or Joint(width=8), head=head or Shared(), output=output or Residual())
    return policy.build(SIZES, seed=5).double()


def task_of(rule, scenes, *, cost_smoothing=ROUNDING, scale=1.0, tile=4096):
    options = {"level": LEVEL, "smoothing": SMOOTHING, "cost_smoothing": cost_smoothing, "tile": tile}
    return HedgingTask(rule, [scenes], scenes, scale=[scale], **options)


def values_of(rule):
    return torch.cat([one.detach().flatten() for one in rule.parameters()]).unsqueeze(0)


def measure(rule, scenes, batch=BATCH, **options):
    """One step of one replica."""
    return task_of(rule, scenes, **options).measure(values_of(rule), [batch], [0])


def gradient(rule, scenes, loss, **options):
    """Gradient in all parameters of a loss made of what was measured."""
    measured = measure(rule, scenes, **options)
    return measured.gradient(loss(measured).reshape(1))[0]


def flat_gradient(value, rule, **options):
    """The same by the graph of all episodes."""
    parts = torch.autograd.grad(value, list(rule.parameters()), allow_unused=True, **options)
    pairs = zip(parts, rule.parameters(), strict=True)
    return torch.cat([(torch.zeros_like(one) if part is None else part).flatten() for part, one in pairs])


def smoothed_cvar(losses, width=None):
    """From its definition, by a search for the least tau; right in value and in first derivatives."""
    width = SMOOTHING * losses.detach().std() if width is None else width

    def hinge(x):
        return torch.where(x > width, x, (x + width).clamp(min=0) ** 2 / (4 * width))

    low, high = losses.detach().min() - width, losses.detach().max() + width
    for _ in range(80):
        tau = (low + high) / 2
        filled = ((losses.detach() - tau + width) / (2 * width)).clamp(0, 1).mean()
        low, high = (tau, high) if filled > 1 - LEVEL else (low, tau)
    return tau + hinge(losses - tau).mean() / (1 - LEVEL)


def losses_of(rule, scenes, *, cost_smoothing=ROUNDING, factor=1.0):
    """Of all episodes of the batch, with their graph."""
    chosen = [scene.take(run) for scene, run in zip(scenes, BATCH, strict=True)]
    return [one.losses(factor * rule.positions(one.state), smoothing=cost_smoothing) for one in chosen]


def head_gradients(risks, rule, *, graph=False):
    """Gradient of each environment's risk in the head, one row an environment: for each output, weights and bias."""
    rows = []
    for number, risk in enumerate(risks):
        layer = rule.head.layers[number] if hasattr(rule.head, "layers") else rule.head.layer
        weight, bias = torch.autograd.grad(risk, [layer.weight, layer.bias], create_graph=graph, retain_graph=True)
        rows.append(torch.cat([weight.T, bias.unsqueeze(-1)], dim=-1).flatten())
    return torch.stack(rows)


@networks
@pytest.mark.parametrize("cost_smoothing", [0.0, ROUNDING])
@pytest.mark.parametrize("tile", [4096, 50])
def test_the_tail_alone_gives_the_risks_and_their_gradient(encoder, output, cost_smoothing, tile, scenes):
    rule, options = network(encoder, output), {"cost_smoothing": cost_smoothing, "tile": tile}
    measured = measure(rule, scenes, **options)
    assert len(measured._own[0].losses) < 80
    full = torch.stack([smoothed_cvar(one) for one in losses_of(rule, scenes, cost_smoothing=cost_smoothing)])
    torch.testing.assert_close(measured.risks[0], full, atol=1e-12, rtol=0)
    for number, other in enumerate(full):
        ours = gradient(rule, scenes, lambda it, number=number: it.risks[0, number], **options)
        theirs = flat_gradient(other, rule, retain_graph=True)
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("encoder", [Joint(width=8), Split(width=8)], ids=lambda one: one.kind)
def test_single_precision_agrees_with_all_episodes_in_single_precision(encoder, builder, calm, wild):
    rule = network(encoder).float()
    single = [Scene.make(paths.to(dtype=torch.float32), builder, 1e-3) for paths in (calm, wild)]
    full = torch.stack([smoothed_cvar(one) for one in losses_of(rule, single)])
    torch.testing.assert_close(measure(rule, single).risks[0], full, atol=0, rtol=1e-5)
    ours, theirs = gradient(rule, single, lambda it: it.risks.mean()), flat_gradient(full.mean(), rule)
    assert (ours - theirs).norm() < 1e-6 * theirs.norm()


@networks
@pytest.mark.parametrize("head", [Shared(), PerEnvironment()], ids=lambda one: one.kind)
def test_head_gradients_are_those_of_each_risk(encoder, output, head, scenes):
    """Also with a head for each environment: there they are the gradients in its own."""
    rule = network(encoder, output, head)
    ours = measure(rule, scenes).head()[0]
    full = [smoothed_cvar(one) for one in losses_of(rule, scenes)]
    assert ours.shape == (2, 9 * output.outputs)
    torch.testing.assert_close(ours, head_gradients(full, rule), atol=1e-10, rtol=1e-10)


@networks
def test_scale_is_the_slope_in_a_factor_on_all_positions(encoder, output, scenes):
    rule = network(encoder, output)
    ours = measure(rule, scenes, cost_smoothing=0.0).scale()[0]
    factor = torch.ones((), dtype=torch.float64, requires_grad=True)
    for slope, losses in zip(ours, losses_of(rule, scenes, cost_smoothing=0.0, factor=factor), strict=True):
        (expected,) = torch.autograd.grad(smoothed_cvar(losses), factor, retain_graph=True)
        assert slope.item() == pytest.approx(expected.item(), rel=1e-9)


def test_rounded_costs_hardly_change_the_scale(scenes):
    rule = network()
    exact, rounded = (measure(rule, scenes, cost_smoothing=s).scale() for s in (0.0, 1e-6))
    torch.testing.assert_close(exact, rounded, atol=1e-6, rtol=1e-4)


def move(rule, direction, step):
    """Shift the parameters of a rule along a direction, in place."""
    with torch.no_grad():
        for one, way in zip(rule.parameters(), direction, strict=True):
            one.add_(way, alpha=step)


def by_parameter(row, rule):
    """A row of numbers in the shapes of the parameters."""
    sizes = [one.numel() for one in rule.parameters()]
    return [part.view(one.shape) for part, one in zip(row.split(sizes), rule.parameters(), strict=True)]


def directions(rule):
    """One direction in the encoder alone, one in the head alone."""
    noise = [
        torch.randn(one.shape, dtype=one.dtype, generator=stream("tests", "direction", number))
        for number, one in enumerate(rule.parameters())
    ]
    in_head = [name.startswith("head") for name, _ in rule.named_parameters()]
    for wanted in (False, True):
        yield [way * (here == wanted) for way, here in zip(noise, in_head, strict=True)]


@pytest.mark.parametrize("form", list(MEASURES))
@pytest.mark.parametrize("encoder", [Joint(width=8), Split(width=8), PhiOnly(width=8)], ids=lambda one: one.kind)
@pytest.mark.parametrize("output", [Residual(), Free(), Trade()], ids=lambda one: one.kind)
def test_the_penalty_moves_encoder_and_head_as_its_finite_differences_say(form, encoder, output, scenes):
    rule = network(encoder, output)
    widths = [SMOOTHING * one.detach().std() for one in losses_of(rule, scenes)]
    floor = torch.full((2,), 1e-3, dtype=torch.float64)
    start = measure(rule, scenes).head()[0].detach().norm(dim=-1, keepdim=True)

    def value():
        """The penalty, from the risks of all episodes; the smoothing and the norms that it divides by stay put."""
        risks = [smoothed_cvar(one, width) for one, width in zip(losses_of(rule, scenes), widths, strict=True)]
        rows = head_gradients(risks, rule)
        if form != "nvar":
            return MEASURES[form](rows, floor).item()
        unit = rows / (start.square() + floor.unsqueeze(-1).square()).sqrt()
        return (unit - unit.mean(0)).square().sum(-1).mean().item()

    assert MEASURES[form](measure(rule, scenes).head()[0], floor).item() == pytest.approx(value(), rel=1e-9)
    slopes = by_parameter(gradient(rule, scenes, lambda it: MEASURES[form](it.head()[0], floor)), rule)
    for direction in directions(rule):
        expected = []
        for step in (1e-6, -1e-6):
            move(rule, direction, step)
            expected.append(value())
            move(rule, direction, -step)
        slope = sum((g * way).sum().item() for g, way in zip(slopes, direction, strict=True))
        assert slope == pytest.approx((expected[0] - expected[1]) / 2e-6, rel=1e-3)
        assert abs(slope) > 1e-6


def test_the_slopes_of_scale_are_those_of_finite_differences(scenes):
    rule = network()
    widths = [SMOOTHING * one.detach().std() for one in losses_of(rule, scenes, cost_smoothing=0.0)]

    def value():
        factor = torch.ones((), dtype=torch.float64, requires_grad=True)
        parts = losses_of(rule, scenes, cost_smoothing=0.0, factor=factor)
        risks = [smoothed_cvar(one, width) for one, width in zip(parts, widths, strict=True)]
        return sum(torch.autograd.grad(risk, factor, retain_graph=True)[0].item() ** 2 for risk in risks)

    slopes = gradient(rule, scenes, lambda it: it.scale().square().sum(), cost_smoothing=0.0)
    for direction in directions(rule):
        expected = []
        for step in (1e-6, -1e-6):
            move(rule, direction, step)
            expected.append(value())
            move(rule, direction, -step)
        slope = sum((g * way).sum().item() for g, way in zip(by_parameter(slopes, rule), direction, strict=True))
        assert slope == pytest.approx((expected[0] - expected[1]) / 2e-6, rel=1e-3)


@pytest.mark.filterwarnings("ignore:hirm. with two training environments")
@pytest.mark.parametrize("form", ["cos", "nvar", "var"])
def test_the_penalty_of_hirm_reaches_every_part_of_the_network(form, scenes):
    rule = network(Split(width=8))
    slopes = gradient(rule, scenes, lambda it: HIRM(form=form)(it.risks, it, 1.0, {}).penalty)
    assert all(one.any() and one.isfinite().all() for one in by_parameter(slopes, rule))


def test_risks_come_in_the_unit_of_the_reference(scenes):
    rule = network()
    plain, halved = (measure(rule, scenes, scale=scale) for scale in (1.0, 2.0))
    torch.testing.assert_close(2 * halved.risks, plain.risks)
    torch.testing.assert_close(2 * halved.head(), plain.head())
    torch.testing.assert_close(2 * halved.scale(), plain.scale())


def test_an_environment_does_not_know_the_others(scenes):
    rule = network()
    both = measure(rule, scenes)
    for number in range(2):
        alone = measure(rule, scenes[number : number + 1], BATCH[number : number + 1])
        torch.testing.assert_close(alone.risks[0, 0], both.risks[0, number], atol=1e-12, rtol=0)
    heads = both.head()
    for number in range(2):
        alone = measure(rule, scenes[number : number + 1], BATCH[number : number + 1])
        torch.testing.assert_close(alone.head()[0, 0], heads[0, number], atol=1e-12, rtol=1e-10)


def test_validation_is_the_exact_risk_in_units_of_the_spot(scenes):
    rule = network()
    expected = [cvar(one.losses(rule.positions(one.state)).detach(), level=0.95) for one in scenes]
    (value,) = task_of(rule, scenes, scale=7.0, tile=50).validate(values_of(rule))
    assert value == pytest.approx(torch.stack(expected).mean().item(), rel=1e-12)
