"""Probes: what a policy is asked, checked against its positions and losses."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from praesidium.diagnostics import isi
from praesidium.experiments.probing import probe
from praesidium.experiments.scenes import Preparation
from praesidium.experiments.study import Evaluation, TrainingRisk, compose
from praesidium.policies.policy import Sizes

EPISODES = 64
COMPONENTS = ("c1", "c2", "c2_raw", "c3")
EVALUATION = Evaluation(probe_episodes=EPISODES, risk_spread=10.0, feature_spread=2.0)


@pytest.fixture(scope="module")
def prepared():
    """Two training environments, and those that are judged."""
    study = compose(["data.train=[low,medium_15_20]", "data.test=[crisis]"])
    return Preparation(study.data, study.liability, study.state)


@pytest.fixture(scope="module")
def rule_of():
    """A policy before its training, which is as good as any to be asked."""

    def built(*overrides, environments=2):
        policy = compose(["policy.encoder.width=8", *overrides]).policy
        return policy.build(Sizes(phi=4, context=5, environments=environments), seed=1)

    return built


@pytest.fixture(scope="module")
def asked(prepared, rule_of):
    """The answers of a free network, whose risks are far from delta's."""
    rule = rule_of("policy=joint_free")
    return rule, probe(rule, prepared, EVALUATION, TrainingRisk(level=0.9))


def test_all_parts_are_there(asked):
    _, found = asked
    parts = {name: found[f"metrics/isi/{name}"] for name in COMPONENTS}
    assert all(0 <= value <= 1 for value in parts.values())
    assert 0 < parts["c1"] < 1
    assert 0 < parts["c3"] < 1
    assert found["metrics/isi/all"] == pytest.approx((parts["c1"] + parts["c2"] + parts["c3"]) / 3)
    assert found["metrics/isi/c1_with_c3"] == pytest.approx((parts["c1"] + parts["c3"]) / 2)
    json.dumps(found, allow_nan=False)


def test_every_environment_is_asked(asked, prepared):
    probes = asked[1]["probes"]
    names = ["low", "medium_15_20", "high", "crisis"]
    assert list(prepared.data.names) == names
    for what in ("risk_by_delta", "head_norm", "noise_to_signal", "sensitivity"):
        assert list(probes[what]) == names
    cosines = np.array(probes["cosines"])
    assert cosines.shape == (4, 4)
    np.testing.assert_allclose(cosines, cosines.T, atol=1e-12)
    np.testing.assert_allclose(cosines.diagonal(), 1)


def test_risks_are_the_mean_of_the_worst_losses_by_those_of_delta(asked, prepared):
    rule, found = asked
    for name, scene in prepared.probes(EPISODES).items():
        worst = []
        with torch.no_grad():
            for held in (rule.positions(scene.state), scene.state.delta):
                losses = np.sort(scene.losses(held).numpy().astype(float))[::-1]
                worst.append((losses[:3].sum() + 0.2 * losses[3]) / 3.2)  # 5 % of 64
        assert found["probes"]["risk_by_delta"][name] == pytest.approx(worst[0] / worst[1], rel=1e-5)


def test_the_components_follow_from_what_is_told(asked):
    _, found = asked
    probes = found["probes"]
    risks = np.array([probes["risk_by_delta"][name] for name in ("low", "medium_15_20")])
    assert probes["relative_variance"] == pytest.approx(risks.var() / risks.mean() ** 2)
    assert found["metrics/isi/c1"] == pytest.approx(1 - risks.var() / risks.mean() ** 2 / 10)
    assert probes["dispersion"].keys() == {"encoder.body.rest.0", "head.layer"}
    assert found["metrics/isi/c3"] == pytest.approx(1 - np.mean(list(probes["dispersion"].values())) / 2)
    assert found["metrics/isi/c2_raw"] == pytest.approx((1 + probes["cosines"][0][1]) / 2)


@pytest.mark.parametrize("overrides", [("policy=joint_free",), ("policy=neural",), ("policy.output.kind=band",)])
def test_sensitivities_are_slopes_of_the_position_at_a_given_inventory(overrides, prepared, rule_of):
    """Central differences in double precision."""
    rule = rule_of(*overrides)
    told = probe(rule, prepared, EVALUATION, TrainingRisk())["probes"]["sensitivity"]["crisis"]
    state = prepared.probes(EPISODES)["crisis"].state
    with torch.no_grad():
        held = rule.positions(state)
        before = torch.cat([torch.zeros_like(held[:1]), held[:-1]]).double()
        rule = rule.double()
        double = {
            one.name: value.double()
            for one in fields(state)
            if isinstance(value := getattr(state, one.name), torch.Tensor) and value.is_floating_point()
        }
        state = replace(state, **double, environment=None)
        for place, (name, slope) in enumerate(told.items()):
            step = torch.zeros(state.features.shape[-1], dtype=torch.float64)
            step[place] = 1e-5
            above, below = (rule.decide(state.seeing(state.features + way), before).positions for way in (step, -step))
            expected = ((above - below) / 2e-5).abs().mean().item()
            assert slope == pytest.approx(expected, rel=1e-3, abs=1e-7), name
    assert list(told) == [*prepared.state.phi, *prepared.state.context]


def test_who_is_blind_to_a_feature_is_not_sensitive_to_it(prepared, rule_of):
    rule = rule_of("policy.encoder.kind=phi_only")
    slopes = probe(rule, prepared, EVALUATION, TrainingRisk())["probes"]["sensitivity"]
    for one in slopes.values():
        assert all((one[name] == 0) == (name in prepared.state.context) for name in one)


def test_a_single_training_environment_leaves_missing_values_not_zeros(prepared, rule_of):
    data = compose(["data.train=[low]", "data.test=[crisis]"]).data
    alone = Preparation(data, prepared.liability, prepared.state, builder=prepared.builder)
    found = probe(rule_of("policy=joint_free", environments=1), alone, EVALUATION, TrainingRisk())
    assert all(found[f"metrics/isi/{name}"] is None for name in (*COMPONENTS, "all", "c1_with_c3"))
    assert found["probes"]["relative_variance"] is None
    assert found["probes"]["dispersion"] == {}
    assert list(found["probes"]["risk_by_delta"]) == ["low", "high", "crisis"]
    assert all(value > 0 for value in found["probes"]["risk_by_delta"].values())


def test_features_that_never_move_leave_c3_missing(prepared, rule_of):
    """And the rest of the record can be written: no NaN in it."""
    rule = rule_of("policy=joint_free")
    with torch.no_grad():
        for one in rule.parameters():
            one.zero_()
    found = probe(rule, prepared, EVALUATION, TrainingRisk())
    assert found["metrics/isi/c3"] is None
    assert found["metrics/isi/all"] is None
    assert set(found["probes"]["dispersion"].values()) == {None}
    json.dumps(found, allow_nan=False)


def test_heads_of_ones_own_are_asked_as_they_are_judged(prepared, rule_of):
    """Without a label: as the one head that is their mean."""
    own, shared = rule_of("policy.head.kind=per_environment"), rule_of()
    values = own.state_dict()
    shared.load_state_dict(
        {
            **{name: one for name, one in values.items() if not name.startswith("head.")},
            **{
                f"head.layer.{part}": (values[f"head.layers.0.{part}"] + values[f"head.layers.1.{part}"]) / 2
                for part in ("weight", "bias")
            },
        }
    )
    mine, theirs = (probe(one, prepared, EVALUATION, TrainingRisk()) for one in (own, shared))
    for what in ("risk_by_delta", "head_norm", "noise_to_signal"):
        assert mine["probes"][what] == pytest.approx(theirs["probes"][what], rel=1e-3), what
    np.testing.assert_allclose(mine["probes"]["cosines"], theirs["probes"]["cosines"], atol=1e-3)


def test_noise_refuses_c2(prepared, rule_of):
    """Few episodes of a policy near delta, whose gradients are noise."""
    found = probe(rule_of(), prepared, EVALUATION, TrainingRisk())
    drowned = [found["probes"]["noise_to_signal"][name] > isi.NOISE_LIMIT for name in ("low", "medium_15_20")]
    assert any(drowned) == (found["metrics/isi/c2"] is None)
    assert any(drowned)
    assert found["metrics/isi/c2_raw"] is not None
