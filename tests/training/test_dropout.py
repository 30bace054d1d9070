"""Dropout: whole units for a whole step, drawn by seed and step alone, and made up for on average."""

import pytest
import torch

from praesidium.experiments.task import HedgingTask
from praesidium.objectives.erm import ERM
from praesidium.objectives.hirm import HIRM
from praesidium.policies.encoders import Joint, Split
from praesidium.policies.neural import Neural
from praesidium.policies.policy import Sizes
from praesidium.training.batching import BalancedBatches
from praesidium.training.checkpoints import recover
from praesidium.training.parameters import Parameters
from praesidium.training.replicas import Course, Replica, Stack
from praesidium.training.reproducibility import stream

UNITS = torch.tensor([0, 0, 1, 1, 1, 2, 3, -1, -1])
SHARE = 0.3


@pytest.fixture
def factors(tmp_path, draw_line, recipe):
    """Factors of a step, for as many replicas as there are shares."""

    def drawn(*shares, step=0, seeds=None, units=UNITS):
        courses = []
        for number, (share, seed) in enumerate(zip(shares, seeds or range(len(shares)), strict=True)):
            line, batches = draw_line(), BalancedBatches(64, 8, 3, stream("tests", "batches", number))
            folder = tmp_path / str(number)
            replica = Replica(line, ERM(), recipe(dropout=share), batches, folder, lambda row: None, seed)
            courses.append(Course(number, replica, Parameters(line)))
        return Stack(courses, 0).kept(units, step)

    return drawn


def test_without_dropout_all_is_kept(factors):
    assert factors(0.0, 0.0).shape == ()
    assert factors(0.0, 0.0).item() == 1


def test_a_unit_is_left_out_as_a_whole_or_made_up_for(factors):
    drawn = torch.cat([factors(SHARE, step=step) for step in range(50)])
    assert set(drawn[:, :7].unique().tolist()) == {0.0, (torch.ones(()) / (1 - SHARE)).item()}
    assert (drawn[:, 0] == drawn[:, 1]).all()
    assert (drawn[:, 2:4] == drawn[:, 4:5]).all()
    assert (drawn[:, 7:] == 1).all()  # no hidden unit: biases, and weights on the state
    assert not torch.equal(drawn[:, 0], drawn[:, 2])


def test_seed_and_step_decide_and_nothing_else(factors):
    many = torch.arange(64)
    one = factors(SHARE, step=5, seeds=[7], units=many)
    assert torch.equal(one, factors(SHARE, step=5, seeds=[7], units=many))
    assert not torch.equal(one, factors(SHARE, step=6, seeds=[7], units=many))
    assert not torch.equal(one, factors(SHARE, step=5, seeds=[8], units=many))
    stacked = factors(0.5, SHARE, 0.0, step=5, seeds=[3, 7, 7], units=many)
    assert torch.equal(stacked[1:2], one)
    assert (stacked[2] == 1).all()
    assert stacked[0].max() == 2


def test_on_average_nothing_changes(factors):
    steps = 2000
    mean = torch.cat([factors(SHARE, step=step) for step in range(steps)]).mean(0)
    error = (SHARE / (1 - SHARE) / steps) ** 0.5
    assert ((mean - 1).abs() < 4 * error).all()


def test_units_that_are_left_out_do_not_move(tmp_path, train, recipe, draw_line):
    """One step without weight decay: the gradient of a unit that was left out is zero."""
    changes = {"steps": 1, "dropout": 0.5, "warmup": 0.0, "rise": 0.0}
    every = [(tmp_path / str(seed), ERM(), recipe(**changes), {"line": 0, "seed": seed}) for seed in range(4)]
    start = draw_line(0)
    for seed, one in enumerate(train(every)):
        out = torch.rand(4, generator=stream("dropout", seed, 0)) < 0.5
        moved = (one.line.weight - start.weight)[0] != 0
        assert torch.equal(moved, ~out)
        assert one.line.bias != start.bias


def places_of(parameters):
    """Where the numbers of each parameter stand in a row."""
    count = sum(shape.numel() for shape in parameters.shapes.values())
    return {name: places.long() for name, places in parameters.names(torch.arange(float(count))).items()}


@pytest.mark.parametrize("encoder", [Joint(width=8), Split(width=8)], ids=lambda one: one.kind)
def test_the_policy_is_blind_to_a_unit_that_is_left_out(encoder, scenes):
    """Whatever leads into it: the other weights on its way decide."""
    rule = Neural(encoder=encoder).build(Sizes(phi=4, context=5, environments=2), seed=5).double()
    task = HedgingTask(rule, [scenes], scenes, level=0.9, smoothing=0.3, cost_smoothing=1e-3, scale=[1.0])
    values, parameters = Parameters(rule).read(rule), Parameters(rule)
    names = places_of(parameters)
    first = "encoder.body.first" if encoder.kind == "joint" else "encoder.phi.first"
    unit = 3  # of the first layer: the third row of the second layer's weights
    second = first.replace("first", "rest.0")
    number = task.units[names[f"{second}.weight"][unit]].unique().item()

    def positions(row):
        with torch.no_grad():
            return parameters.bind(row).positions(scenes[0].state).clone()

    changed = values.clone()
    changed[names[f"{first}.weight"][:, unit]] += 1.0
    kept = torch.where(task.units == number, 0.0, 1.0).double()
    assert number >= 0
    assert (positions(values) - positions(changed)).abs().max() > 1e-6
    torch.testing.assert_close(positions(values * kept), positions(changed * kept), rtol=0, atol=1e-12)
    assert (positions(values) - positions(values * kept)).abs().max() > 1e-6


def test_every_hidden_unit_can_be_left_out_and_nothing_else():
    rule = Neural(encoder=Split(width=8)).build(Sizes(phi=4, context=5, environments=2), seed=5)
    task = HedgingTask(rule, [], [], level=0.9, smoothing=0.3, cost_smoothing=1e-3, scale=[1.0])
    names = places_of(Parameters(rule))
    hidden = {name: task.units[places] for name, places in names.items() if (task.units[places] >= 0).any()}
    assert hidden.keys() == {"encoder.phi.rest.0.weight", "encoder.factor.weight", "head.layer.weight"}
    assert all(torch.equal(one, one[:, :1].expand_as(one)) for one in hidden.values())
    assert sorted(torch.cat([one[:, 0] for one in hidden.values()]).tolist()) == list(range(24))


def test_a_training_with_dropout_goes_on_where_it_was_killed(tmp_path, train, recipe):
    def one(folder):
        return [(tmp_path / folder, HIRM(), recipe(dropout=SHARE), {"seed": 3})]

    (whole,) = train(one("whole"))
    (plain,) = train([(tmp_path / "plain", HIRM(), recipe(), {"seed": 3})])
    with pytest.raises(KeyboardInterrupt):
        train(one("killed"), dies_at=33)
    assert recover([tmp_path / "killed"]) == [30]
    (again,) = train(one("killed"))
    assert again.rows == whole.rows[30:]
    assert all(map(torch.equal, again.line.parameters(), whole.line.parameters()))
    assert not torch.equal(plain.line.weight, whole.line.weight)
