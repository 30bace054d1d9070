"""Replicas: what becomes of one does not depend on which others it is trained with."""

from contextlib import nullcontext
from itertools import cycle, product

import pytest
import torch

from praesidium.objectives.erm import ERM
from praesidium.objectives.groupdro import GroupDRO
from praesidium.objectives.hirm import HIRM
from praesidium.objectives.irmv1 import IRMv1
from praesidium.objectives.objective import Objective
from praesidium.objectives.vrex import VREx
from praesidium.training.checkpoints import load, recover
from praesidium.training.replicas import Course

SHIPPED = {kind: one for kind, one in Objective.registry.items() if one.__module__.startswith("praesidium.")}
LONG_KNOWN = {"erm", "groupdro", "vrex", "irmv1", "hirm"}
FAMILIES = {
    "erm": [ERM()],
    "groupdro": [GroupDRO(eta=0.01), GroupDRO(eta=0.5)],
    "vrex": [VREx(beta=1.0), VREx(beta=0.2)],
    "irmv1": [IRMv1(penalty=0.1), IRMv1(penalty=0.02)],
    "hirm cos": [HIRM(form="cos", penalty=one) for one in (0.1, 0.5)],
    "hirm variance": [HIRM(form=form, penalty=one) for one in (0.1, 0.5) for form in ("nvar", "var")],
    "hirm reach": [HIRM(grad_to="phi"), HIRM(grad_to="psi"), HIRM(), HIRM(cross_fit=True, form="cos")],
    "different ones": [HIRM(), ERM(), VREx(), IRMv1(), HIRM(), GroupDRO()],
    "newcomers": [member() for kind, member in sorted(SHIPPED.items()) if kind not in LONG_KNOWN],
}
RECIPES = [
    {},
    {"learning_rate": 0.01, "weight_decay": 0.3, "validate_every": 4},
    {"warmup": 0.0, "rise": 0.5, "validate_every": 6, "keep": 9},
    {"steps": 26, "validate_every": 9, "keep": 3, "dropout": 0.3},
    {"learning_rate": 0.02, "clip": 0.1, "keep": 1, "validate_every": 7},  # otherwise as the first
    {"steps": 3},
    {"learning_rate": 0.3, "warmup": 0.1, "patience": 1, "validate_every": 4},
]
IMPATIENT = len(RECIPES) - 1
families = pytest.mark.parametrize("family", FAMILIES)
SOME = ("groupdro", "hirm cos", "different ones")
some_families = pytest.mark.parametrize("family", SOME)


@pytest.fixture(scope="module")
def replicas(recipe):
    """Replicas that have nothing in common but the number of episodes."""

    def made(folder, family):
        objectives, recipes = cycle(FAMILIES[family]), cycle(RECIPES)
        return [
            (folder / str(number), next(objectives), recipe(**next(recipes)), {"line": number, "seed": number})
            for number in range(max(len(FAMILIES[family]), len(RECIPES)))
        ]

    return made


@pytest.fixture(scope="module")
def alone(train, replicas, tmp_path_factory):
    """Each replica of a family on its own, trained once for all tests."""
    known = {}

    def trained(family):
        if family not in known:
            every = replicas(tmp_path_factory.mktemp("alone"), family)
            known[family] = [(train([one])[0], written(one[0])) for one in every]
        return known[family]

    return trained


def written(folder):
    """Tensors and facts of all that lies in a folder."""
    return {path.name: load(path) for path in folder.iterdir()}


def assert_same(one, other, rows=None):
    """Same parameters, logs, outcome and files."""
    (mine, here), (theirs, there) = one, other
    close = {"rtol": 1e-9, "atol": 1e-9}
    torch.testing.assert_close(list(mine.line.parameters()), list(theirs.line.parameters()), **close)
    torch.testing.assert_close(mine.rows if rows is None else rows, theirs.rows, **close)
    assert vars(mine.outcome) == pytest.approx(vars(theirs.outcome), rel=1e-9)
    torch.testing.assert_close(here, there, **close)


def assert_as_if_alone(trained, every, alone, but=()):
    for number, (one, (folder, *_)) in enumerate(zip(trained, every, strict=True)):
        if number not in but:
            assert_same((one, written(folder)), alone[number])


def test_every_objective_is_looked_at():
    assert {one.kind for family in FAMILIES.values() for one in family} == SHIPPED.keys()
    forms = {one.form for family in FAMILIES.values() for one in family if one.kind == "hirm"}
    assert forms == {"cos", "nvar", "var"}


@families
def test_a_replica_in_a_stack_is_as_if_alone(family, tmp_path, train, replicas, alone):
    every = replicas(tmp_path, family)
    assert_as_if_alone(train(every), every, alone(family))


@families
def test_replicas_differ_from_each_other(family, alone):
    """Or the other laws would say little."""
    weights = [one.line.weight for one, _ in alone(family)]
    assert all((weights[0] - other).abs().max() > 1e-3 for other in weights[1:])


def test_the_order_of_replicas_does_not_matter(tmp_path, train, replicas, alone):
    every = replicas(tmp_path, "different ones")
    order = [4, 0, 6, 2, 5, 1, 3]
    trained = train([every[number] for number in order])
    assert_as_if_alone([trained[order.index(number)] for number in range(len(order))], every, alone("different ones"))


def test_replicas_of_one_kind_are_measured_together(tmp_path, train, recipe, least_squares, monkeypatch):
    seen, real = [], least_squares.measure
    monkeypatch.setattr(least_squares, "measure", lambda self, *args: seen.append(list(args[2])) or real(self, *args))
    steps = (9, 5, 9)
    train([(tmp_path / str(number), ERM(), recipe(steps=one)) for number, one in enumerate(steps)])
    assert seen == [[0, 1, 2]] * 5 + [[0, 2]] * 4


@some_families
def test_a_replica_that_loses_its_patience_leaves_the_others(family, tmp_path, train, replicas, alone):
    early, _ = alone(family)[IMPATIENT]
    assert early.outcome.optimizer_steps < 40  # it does
    every = replicas(tmp_path, family)
    trained = train(every)
    assert trained[IMPATIENT].outcome.optimizer_steps == early.outcome.optimizer_steps
    assert [len(one.rows) for one in trained] == [len(one.rows) for one, _ in alone(family)]


def explode(risks, call):
    return risks * (float("inf") if call == 12 else 1)


def undefined(risks, call):
    return risks * (float("nan") if call == 12 else 1)


def without_slope(risks, call):
    """A finite risk whose derivative is not: the square root at zero."""
    return risks + (0 * risks).sqrt() if call == 12 else risks


@pytest.mark.parametrize(
    ("family", "spoils", "broken"),
    [
        *product(SOME, (explode, undefined, without_slope), (1,)),
        *product(("different ones",), (explode, without_slope), (0, 2, 4)),
    ],
)
def test_a_replica_that_fails_leaves_the_others(broken, spoils, family, tmp_path, train, replicas, alone):
    every = replicas(tmp_path, family)
    trained = train(every, spoils={broken: spoils})
    error = trained[broken].outcome
    assert isinstance(error, FloatingPointError)
    assert "at step 11; lower train.learning_rate" in str(error)
    rows = alone(family)[broken][0].rows[:11]
    torch.testing.assert_close(trained[broken].rows, rows, rtol=1e-9, atol=1e-9)
    assert_as_if_alone(trained, every, alone(family), but=[broken])


def test_all_may_fail(tmp_path, train, replicas):
    trained = train(replicas(tmp_path, "erm"), spoils=dict.fromkeys(range(len(RECIPES)), explode))
    failed = [isinstance(one.outcome, FloatingPointError) for one in trained]
    assert failed == [changes.get("steps", 40) > 11 for changes in RECIPES]


@pytest.fixture
def kill(train, dying, moves_until, monkeypatch):
    """Trains a stack that dies; gives what each replica had logged on the way to where it resumes."""

    def killed(every, at, place="measure", **task):
        logs, starts = [[] for _ in every], recover([folder for folder, *_ in every])
        mortal = [(*one, {**options, "log": rows.append}) for (*one, options), rows in zip(every, logs, strict=True)]
        with monkeypatch.context() as patch, moves_until(at) if place == "move" else nullcontext():
            if place == "keep":
                patch.setattr(Course, "keep", dying(Course.keep, at))
            with pytest.raises(KeyboardInterrupt):
                train(mortal, dies_at=at if place == "measure" else None, **task)
        ends = recover([folder for folder, *_ in every])
        return [rows[: end - start] for rows, start, end in zip(logs, starts, ends, strict=True)]

    return killed


def assert_continued(before, trained, every, alone):
    """What was logged before and after, and all else, is as without an interruption."""
    for head, one, (folder, *_), expected in zip(before, trained, every, alone, strict=True):
        assert_same((one, written(folder)), expected, rows=head + one.rows)


@pytest.mark.parametrize(
    ("place", "at", "family"),
    [
        *(("measure", 19, family) for family in FAMILIES),
        *product(("measure",), (3, 38), SOME),
        *product(("keep",), (9, 16), SOME),
        *product(("move",), (12,), SOME),
    ],
)
def test_a_stack_that_was_killed_ends_with_the_same_numbers(place, at, family, tmp_path, train, replicas, alone, kill):
    every = replicas(tmp_path, family)
    before = kill(every, at, place)
    if (place, at) == ("measure", 19):
        expected = cycle([18, 18, 18, 18, 18, 3, 18])
        assert [len(rows) for rows in before] == [next(expected) for _ in before]
    assert_continued(before, train(every), every, alone(family))


@pytest.mark.parametrize("place", ["keep", "move", "measure"])
@pytest.mark.parametrize("at", range(1, 22, 2))
def test_a_stack_that_was_killed_rounds_as_one_that_was_not(place, at, tmp_path, train, recipe, kill):
    """Replicas that went on from different steps would be measured apart, which changes their last bits."""

    def every(name):
        changes = ({}, {"validate_every": 7}, {})
        return [
            (tmp_path / name / str(number), ERM(), recipe(**one), {"seed": number})
            for number, one in enumerate(changes)
        ]

    whole = train(every("whole"), rounding=1e-6)
    apart = train(every("apart")[:1], rounding=1e-6)[0]
    before = kill(every("killed"), at, place, rounding=1e-6)
    resumed = train(every("killed"), rounding=1e-6)
    assert len({len(rows) for rows in before}) == 1
    assert not torch.equal(apart.line.weight, whole[0].line.weight)
    for head, one, other in zip(before, resumed, whole, strict=True):
        assert head + one.rows == other.rows
        assert torch.equal(one.line.weight, other.line.weight)


@some_families
def test_a_stack_may_be_killed_again_and_again(family, tmp_path, train, replicas, alone, kill):
    every = replicas(tmp_path, family)
    before = [[] for _ in every]
    for _ in range(3):
        before = [head + rows for head, rows in zip(before, kill(every, 12), strict=True)]
    assert_continued(before, train(every), every, alone(family))


@some_families
def test_a_replica_goes_on_alone_with_what_was_begun_in_a_stack(family, tmp_path, train, replicas, alone, kill):
    every = replicas(tmp_path, family)
    before = kill(every, 19)
    assert_continued(before, [train([one])[0] for one in every], every, alone(family))


@some_families
def test_a_stack_goes_on_with_what_was_begun_alone(family, tmp_path, train, replicas, alone, kill):
    """Each comes to another step: from nothing at all to the end."""
    every = replicas(tmp_path, family)
    before = [kill([one], at)[0] if at else [] for one, at in zip(every, (38, 3, 30, 22, 0, 2, 11), strict=True)]
    assert len(set(recover([folder for folder, *_ in every]))) > 4
    assert_continued(before, train(every), every, alone(family))
