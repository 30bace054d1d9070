"""A rule's setting is the one of least validation risk, found by looking at nothing else."""

import pytest

from praesidium.component import InputError
from praesidium.experiments.choosing import choose
from praesidium.experiments.methods import METHODS
from praesidium.experiments.scenes import Preparation
from praesidium.experiments.study import compose
from praesidium.policies.neural import Neural
from praesidium.policies.policy import Policy
from praesidium.policies.whalley_wilmott import WhalleyWilmott
from praesidium.risk import cvar

SMALL = ["data.train=[low]", "evaluation.validation_episodes=512"]


def prepared_for(study):
    return Preparation(study.data, study.liability, study.state, instruments=study.instruments)


def test_the_chosen_value_has_the_least_risk_of_all():
    study = compose(["policy=whalley_wilmott", "choice={setting: risk_aversion, values: [3,300,30000]}", *SMALL])
    prepared = prepared_for(study)
    rule, facts = choose(study, prepared, 0)
    (scene,) = prepared.validation(512)
    risks = {
        value: cvar(
            scene.losses(WhalleyWilmott(risk_aversion=value).positions(scene.state)).double(), level=0.95
        ).item()
        for value in (3.0, 300.0, 30000.0)
    }
    best = min(risks, key=risks.get)
    assert facts["training/chosen/risk_aversion"] == best
    assert rule == WhalleyWilmott(risk_aversion=best)
    assert facts["training/tried"] == pytest.approx({str(value): risk for value, risk in risks.items()})
    assert facts["training/validation_cvar95"] == min(risks.values())


@pytest.mark.parametrize("method", [name for name in METHODS if name.endswith("_tuned")])
def test_every_tuned_method_tries_its_values(method):
    study = compose([*METHODS[method].overrides, *SMALL])
    rule, facts = choose(study, prepared_for(study), 0)
    assert len(facts["training/tried"]) == len(study.choice.values) > 3
    assert facts["training/validation_cvar95"] <= min(facts["training/tried"].values())
    assert getattr(rule, study.choice.setting) == facts[f"training/chosen/{study.choice.setting}"]


def test_a_setting_that_is_not_there_is_refused_at_once():
    with pytest.raises(InputError, match="'aversion' is unknown; did you mean 'risk_aversion'"):
        compose(["policy=whalley_wilmott", "choice={setting: aversion, values: [1]}"])
    with pytest.raises(InputError, match=r"policy.risk_aversion: input should be greater than 0, not -1"):
        compose(["policy=whalley_wilmott", "choice={setting: risk_aversion, values: [-1]}"])


def test_without_a_choice_the_policy_stays_as_it_is():
    study = compose(["policy=whalley_wilmott", *SMALL])
    assert choose(study, prepared_for(study), 0) == (WhalleyWilmott(), {})


def test_a_network_is_not_chosen_this_way():
    class Wide(Policy, kind="wide"):
        width: float = 1.0

        def build(self, sizes, *, seed):
            return Neural().build(sizes, seed=seed)

    try:
        with pytest.raises(InputError, match="wide is trained; search its settings with praesidium tune"):
            compose(["policy=delta", "policy.kind=wide", "choice={setting: width, values: [1, 2]}", *SMALL])
    finally:
        del Policy.registry["wide"]
