"""Tails of many replicas and of any shape give what all episodes of one give."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.experiments.task import HedgingTask
from praesidium.objectives.alignment import mean_square
from praesidium.policies.encoders import Encoder, Joint, Split
from praesidium.policies.heads import PerEnvironment, Shared
from praesidium.policies.neural import Neural
from praesidium.policies.outputs import Band, Free, Residual, Trade
from praesidium.policies.policy import Sizes
from praesidium.risk import smoothed_cvar, tail_edge
from praesidium.training.reproducibility import stream

LEVEL, SMOOTHING, ROUNDING = 0.9, 0.3, 1e-3
BATCH = [slice(4, 84), slice(10, 90)]


def values_of(rule):
    return torch.cat([one.detach().flatten() for one in rule.parameters()]).unsqueeze(0)


def flat_gradient(value, rule):
    """In all parameters, by the graph of all episodes."""
    parts = torch.autograd.grad(value, list(rule.parameters()), allow_unused=True)
    pairs = zip(parts, rule.parameters(), strict=True)
    return torch.cat([(torch.zeros_like(one) if part is None else part).flatten() for part, one in pairs])


@pytest.mark.parametrize("tile", [4096, 200, 50])
@pytest.mark.parametrize("head", [Shared(), PerEnvironment()], ids=lambda one: one.kind)
@pytest.mark.parametrize("output", [Residual(), Band(), Trade()], ids=lambda one: one.kind)
def test_a_replica_in_a_stack_is_measured_as_alone(output, head, tile, scenes):
    """Risks, what is asked about them, and the gradient of a penalized loss; tails of different sizes."""
    policy = Neural(encoder=Split(width=8), head=head, output=output)
    rule = policy.build(Sizes(phi=4, context=5, environments=2), seed=5).double()
    noise = torch.randn(3, values_of(rule).shape[1], dtype=torch.float64, generator=stream("tests", "replicas"))
    values, scale = values_of(rule) + 0.05 * noise, [1.0, 2.0, 0.5]
    batches = [BATCH, [slice(0, 80), slice(2, 82)], [slice(16, 96), slice(3, 83)]]
    options = {"level": LEVEL, "smoothing": SMOOTHING, "cost_smoothing": ROUNDING, "tile": tile}
    task = HedgingTask(rule, [scenes, scenes[::-1], scenes], scenes, scale=scale, **options)

    def everything(rows):
        measured = task.measure(values[rows], [batches[row] for row in rows], rows)
        found = [measured.risks, measured.head(), measured.scale()]
        loss = measured.risks.mean(-1) + 0.3 * mean_square(found[1]) + found[2].square().mean(-1)
        return [one.detach() for one in found] + [measured.gradient(loss)]

    together, again = everything([0, 1, 2]), everything([2, 0])
    for row in range(3):
        for one, alone in zip(together, everything([row]), strict=True):
            torch.testing.assert_close(one[row], alone[0], atol=1e-11, rtol=1e-10)
    for one, other in zip(together, again, strict=True):
        torch.testing.assert_close(one[[2, 0]], other, atol=1e-11, rtol=1e-10)


@settings(deadline=None, derandomize=True, max_examples=25)
@given(
    sizes=st.lists(st.integers(10, 40), min_size=1, max_size=3),
    width=st.integers(1, 5),
    depth=st.integers(1, 3),
    level=st.floats(0.5, 0.97),
    smoothing=st.floats(0.02, 0.5),
    kind=st.sampled_from(["joint", "phi_only", "split", "r_only"]),
    output=st.sampled_from([Residual(), Free(), Band(), Trade()]),
)
def test_the_tail_is_enough_whatever_the_shape(sizes, width, depth, level, smoothing, kind, output, scenes):
    """One environment size for all: batches take equally many episodes of each."""
    count = min(sizes)
    chosen = [scenes[number % 2] for number in range(len(sizes))]
    policy = Neural(encoder=Encoder.registry[kind](width=width, depth=depth), output=output)
    rule = policy.build(Sizes(phi=4, context=5, environments=len(sizes)), seed=1).double()
    options = {"level": level, "smoothing": smoothing, "cost_smoothing": 1e-3}
    task = HedgingTask(rule, [chosen], scenes, scale=[1.0], **options)
    measured = task.measure(values_of(rule), [[slice(0, count)] * len(sizes)], [0])
    ours = measured.gradient(measured.risks.mean(-1))[0]
    losses = torch.stack(
        [
            one.take(slice(0, count)).losses(rule.positions(one.take(slice(0, count)).state), smoothing=1e-3)
            for one in chosen
        ]
    )
    edge = tail_edge(losses.detach(), level=level, smoothing=smoothing)
    group = torch.arange(len(sizes)).repeat_interleave(count)
    full, _ = smoothed_cvar(losses.flatten(), group, edge, level=level, episodes=count)
    torch.testing.assert_close(measured.risks[0], full, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(ours, flat_gradient(full.mean(), rule), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("ask", ["head", "head_halves", "residual", "scale", "moments", "whole"])
def test_losses_that_are_no_numbers_make_a_risk_that_is_none_and_stop_nothing(ask, scenes):
    """A policy that has diverged is told by its risk, whatever an objective asks beyond it."""
    rule = Neural(encoder=Joint(width=4)).build(Sizes(phi=4, context=5, environments=2), seed=1).double()
    with torch.no_grad():
        for parameter in rule.parameters():
            parameter.fill_(torch.nan)
    options = {"level": 0.9, "smoothing": 0.3, "cost_smoothing": 1e-3, "scale": [1.0]}
    values = torch.cat([one.detach().flatten() for one in rule.parameters()]).unsqueeze(0)
    batch = [slice(0, 60), slice(0, 60)]
    measured = HedgingTask(rule, [scenes], scenes, **options).measure(values, [batch], [0])
    getattr(measured, ask)()
    assert measured.risks.isnan().all()
