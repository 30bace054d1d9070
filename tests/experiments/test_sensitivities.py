"""What an objective may ask beyond risks and head gradients: values by brute force, derivatives by differences."""

import pytest
import torch

from praesidium.experiments.task import HedgingTask
from praesidium.policies.encoders import Joint, Split
from praesidium.policies.heads import PerEnvironment
from praesidium.policies.neural import Neural
from praesidium.policies.outputs import Free, Residual
from praesidium.policies.policy import Sizes
from praesidium.risk import smoothed_cvar, tail_edge
from praesidium.training.reproducibility import stream

LEVEL, SMOOTHING, ROUNDING, SCALE = 0.9, 0.3, 1e-3, 0.5
BATCH = [slice(4, 84), slice(10, 90)]
networks = pytest.mark.parametrize(
    "policy",
    [
        Neural(encoder=Joint(width=6), output=Residual()),
        Neural(encoder=Split(width=6), output=Free()),
        Neural(encoder=Joint(width=6), head=PerEnvironment()),
    ],
    ids=["joint residual", "split free", "own heads"],
)


def rule_of(policy):
    return policy.build(Sizes(phi=4, context=5, environments=2), seed=5).double()


def values_of(rule):
    return torch.cat([one.detach().flatten() for one in rule.parameters()]).unsqueeze(0)


def task_of(rule, scenes, **options):
    settings = {"level": LEVEL, "smoothing": SMOOTHING, "cost_smoothing": ROUNDING, "scale": [SCALE]} | options
    return HedgingTask(rule, [scenes], scenes, **settings)


def full_losses(task, values, scenes):
    """Losses of each environment's batch with their graph in the values."""
    rule = task.parameters.bind(values[0])
    chosen = [scene.take(run) for scene, run in zip(scenes, BATCH, strict=True)]
    return [one.losses(rule.positions(one.state), smoothing=ROUNDING) for one in chosen]


def edge_at(losses, width):
    """The tau that belongs to a width, by bisection."""
    low, high = losses.min() - width, losses.max() + width
    for _ in range(80):
        tau = (low + high) / 2
        filled = ((losses - tau + width) / (2 * width)).clamp(0, 1).mean()
        low, high = (tau, high) if filled > 1 - LEVEL else (low, tau)
    return tau


def full_risks(task, values, scenes, widths):
    """Risks with the width of the smoothing fixed at the start; right in value and first derivatives."""
    risks = []
    for losses, width in zip(full_losses(task, values, scenes), widths, strict=True):
        tau = edge_at(losses.detach(), width)
        x = losses - tau
        hinge = torch.where(x > width, x, (x + width).clamp(min=0) ** 2 / (4 * width))
        risks.append(tau + hinge.mean() / (1 - LEVEL))
    return torch.stack(risks) / SCALE


def widths_of(task, values, scenes):
    return [SMOOTHING * losses.detach().std() for losses in full_losses(task, values, scenes)]


def agrees_with_differences(loss, values, task, scenes, scalar):
    """The gradient of ``loss(measured)`` against central differences of ``scalar(values)`` on random directions."""
    measured = task.measure(values, [BATCH], [0])
    slopes = measured.gradient(loss(measured).reshape(1))[0]
    for number in range(3):
        way = torch.randn(values.shape, dtype=values.dtype, generator=stream("tests", "way", number))
        ends = [scalar(values + step * way) for step in (1e-6, -1e-6)]
        assert (slopes @ way[0]).item() == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-3, abs=1e-8)


@networks
def test_halves_are_disjoint_and_their_mean_is_the_head_gradient(policy, scenes):
    rule = rule_of(policy)
    measured = task_of(rule, scenes).measure(values_of(rule), [BATCH], [0])
    halves = measured.head_halves()
    assert halves.shape == (2, *measured.head().shape)
    torch.testing.assert_close(halves.mean(0), measured.head())
    assert not torch.allclose(halves[0], halves[1])


def test_the_whole_gradient_is_that_of_each_risk(scenes):
    rule = rule_of(Neural(encoder=Joint(width=6)))
    task, values = task_of(rule, scenes), values_of(rule)
    ours = task.measure(values, [BATCH], [0]).whole()[0]
    leaf = values.clone().requires_grad_()
    risks = full_risks(task, leaf, scenes, widths_of(task, values, scenes))
    for row, risk in zip(ours, risks, strict=True):
        (expected,) = torch.autograd.grad(risk, leaf, retain_graph=True)
        torch.testing.assert_close(row, expected[0], atol=1e-11, rtol=1e-9)


@pytest.mark.parametrize("tile", [4096, 50])
@pytest.mark.parametrize("policy", [Neural(encoder=Joint(width=6)), Neural(encoder=Split(width=6), output=Free())])
def test_a_penalty_on_whole_gradients_moves_parameters_as_differences_say(policy, tile, scenes):
    rule = rule_of(policy)
    task, values = task_of(rule, scenes, tile=tile), values_of(rule)
    widths = widths_of(task, values, scenes)

    def scalar(at):
        leaf = at.clone().requires_grad_()
        risks = full_risks(task, leaf, scenes, widths)
        rows = [torch.autograd.grad(risk, leaf, retain_graph=True)[0][0] for risk in risks]
        return (risks.sum() + (rows[0] * rows[1]).sum() + rows[0].square().sum()).item()

    def loss(it):
        whole = it.whole()[0]
        return it.risks.sum() + (whole[0] * whole[1]).sum() + whole[0].square().sum()

    agrees_with_differences(loss, values, task, scenes, scalar)


@pytest.mark.parametrize("tile", [4096, 50])
def test_residual_and_moments_are_means_over_the_tail(tile, scenes):
    rule = rule_of(Neural(encoder=Joint(width=6)))
    task, values = task_of(rule, scenes, tile=tile), values_of(rule)
    widths = widths_of(task, values, scenes)

    def by_hand(at):
        bound = task.parameters.bind(at[0])
        found = []
        losses = full_losses(task, at, scenes)
        for scene, run, some, width in zip(scenes, BATCH, losses, widths, strict=True):
            chosen = scene.take(run)
            tau = edge_at(some.detach(), width)
            weights = ((some - tau + width) / (2 * width)).clamp(0, 1) / ((1 - LEVEL) * len(some))
            positions = bound.positions(chosen.state)
            before = torch.cat([torch.zeros_like(positions[:1]), positions[:-1]])
            features = bound.decide(chosen.state, before).features
            mean = torch.einsum("p,tpf->f", weights, features) / 60
            away = features - mean
            covariance = torch.einsum("p,tpf,tpg->fg", weights, away, away) / 60
            residual = (weights * (positions - chosen.state.delta).square().mean(0)).sum()
            found.append((residual, mean, covariance))
        return found

    def combined(residual, mean, covariance):
        return 3 * residual.sum() + (mean[0] - mean[1]).square().sum() + (covariance[0] - covariance[1]).square().sum()

    def scalar(at):
        with torch.no_grad():
            parts = [torch.stack(one) for one in zip(*by_hand(at), strict=True)]
            return combined(*parts).item()

    measured = task.measure(values, [BATCH], [0])
    residual, (mean, covariance) = measured.residual()[0], measured.moments()
    for number, (r, m, c) in enumerate(by_hand(values)):
        assert residual[number].item() == pytest.approx(r.item(), rel=1e-9)
        torch.testing.assert_close(mean[0, number], m, atol=1e-10, rtol=1e-8)
        torch.testing.assert_close(covariance[0, number], c, atol=1e-10, rtol=1e-8)
    agrees_with_differences(
        lambda it: combined(it.residual()[0], *(one[0] for one in it.moments())), values, task, scenes, scalar
    )


def test_noise_is_the_sampling_error_of_the_head_gradient(builder):
    """Against the variance over many batches."""
    from praesidium.hedging.rollout import Scene
    from praesidium.markets.heston import Heston

    market = Heston(theta=0.04, v0=(0.03, 0.05))
    paths = market.simulate(
        paths=64 * 512, horizon=20, lookback=20, generator=stream("tests", "noise"), dtype=torch.float64
    )
    pool = Scene.make(paths, builder, 5e-4)
    rule = rule_of(Neural(encoder=Joint(width=4)))
    task = task_of(rule, [pool, pool])
    values = values_of(rule)
    heads, noises = [], []
    for number in range(64):
        run = slice(512 * number, 512 * (number + 1))
        measured = task.measure(values, [[run, run]], [0])
        heads.append(measured.head()[0, 0].detach())
        noises.append(measured.head_noise()[0, 0])
    observed = torch.stack(heads).var(0).sum().item()
    assert torch.stack(noises).mean().item() == pytest.approx(observed, rel=0.25)


def test_each_environment_may_have_a_scale_of_its_own(scenes):
    rule = rule_of(Neural(encoder=Joint(width=6)))
    values = values_of(rule)
    plain, own = (task_of(rule, scenes, scale=scale) for scale in ([1.0], [[2.0, 5.0]]))
    plain, own = (one.measure(values, [BATCH], [0]) for one in (plain, own))
    factors = torch.tensor([2.0, 5.0], dtype=torch.float64)
    torch.testing.assert_close(own.risks * factors, plain.risks)
    torch.testing.assert_close(own.head() * factors[:, None], plain.head())
    torch.testing.assert_close(own.head_noise() * factors.square(), plain.head_noise())


def test_pooled_episodes_make_up_one_environment(scenes):
    rule = rule_of(Neural(encoder=Joint(width=6)))
    task, values = task_of(rule, scenes, pooled=True), values_of(rule)
    measured = task.measure(values, [BATCH], [0])
    losses = torch.cat([one.detach() for one in full_losses(task, values, scenes)])
    edge = tail_edge(losses.unsqueeze(0), level=LEVEL, smoothing=SMOOTHING)
    zero = torch.zeros(len(losses), dtype=torch.long)
    risk, _ = smoothed_cvar(losses, zero, edge, level=LEVEL, episodes=len(losses))
    assert measured.risks.shape == (1, 1)
    assert measured.risks.item() == pytest.approx(risk.item() / SCALE, rel=1e-12)


def test_what_is_asked_may_come_from_a_wider_tail(scenes):
    rule = rule_of(Neural(encoder=Joint(width=6)))
    values = values_of(rule)
    narrow, wide = task_of(rule, scenes), task_of(rule, scenes, level=0.6)
    both = task_of(rule, scenes, asked_level=0.6)
    measured = both.measure(values, [BATCH], [0])
    torch.testing.assert_close(measured.risks, narrow.measure(values, [BATCH], [0]).risks)
    torch.testing.assert_close(measured.head(), wide.measure(values, [BATCH], [0]).head())
    loss = measured.risks.mean(-1) + measured.head().square().sum((-1, -2))
    one, other = narrow.measure(values, [BATCH], [0]), wide.measure(values, [BATCH], [0])
    expected = one.gradient(one.risks.mean(-1)) + other.gradient(other.head().square().sum((-1, -2)))
    torch.testing.assert_close(measured.gradient(loss), expected)
