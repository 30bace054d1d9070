"""Composition: Hydra groups become validated settings."""

import pytest

from praesidium.component import InputError, build
from praesidium.experiments.composition import CONF, options
from praesidium.experiments.methods import BENCHMARK, METHODS, OPTION, REGIMES
from praesidium.experiments.study import Study, compose
from praesidium.policies.outputs import Free, Residual


@pytest.mark.parametrize("method", METHODS)
def test_every_method_composes_and_round_trips(method):
    study = compose(METHODS[method].overrides)

    assert build(Study, study.settings()) == study


@pytest.mark.parametrize("group", sorted({path.parent.name for path in CONF.glob("*/*.yaml")} - {"portfolio"}))
def test_every_file_of_every_group_composes(group):
    """With a file of the user's, an option to hedge with, and a view of the regime, which some cannot do without."""
    besides = [OPTION, REGIMES] if group == "policy" else []
    for name in options(group):
        own = [f"data.path={CONF / 'data' / 'synthetic_calibrated.yaml'}"] if name == "calibrated" else []
        assert isinstance(compose([f"{group}={name}", *besides, *own]), Study)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["policy=delta_gamma"], "delta_gamma: there is no option to hedge with; put one first: instruments="),
        (["policy=delta_vega", "instruments=[{kind: asset}]"], "delta_vega: there is no option to hedge with"),
        (["policy=dynamic_delta", REGIMES], "gamma_share: there is no option to hedge with"),
        (["policy=regime_delta"], r"regime: the state has no view of the regime; say state\.regimes\.n_regimes=3"),
    ],
)
def test_a_policy_that_cannot_be_built_is_refused_before_any_work(overrides, sentence):
    with pytest.raises(InputError, match=sentence):
        compose(overrides)


def test_overrides_reach_the_component():
    study = compose(["objective=vrex", "objective.beta=10", "train.steps=7", "policy.output.kind=band"])

    assert study.objective.settings() == {"kind": "vrex", "beta": 10.0}
    assert study.train.steps == 7
    assert study.policy.settings()["output"] == {"kind": "band"}


def test_hirm_and_its_control_differ_in_the_objective_alone():
    control, hirm = (compose(METHODS[name].overrides).settings() for name in ("erm_residual", "hirm"))

    assert {key for key in hirm if hirm[key] != control[key]} == {"objective"}


def test_published_baselines_are_the_standard_deep_hedge():
    policies = [compose(METHODS[name].overrides).policy for name in ("erm", "groupdro", "vrex", "irmv1")]

    assert all(policy == policies[0] for policy in policies)
    assert policies[0].encoder.kind == "joint"
    assert isinstance(policies[0].output, Free)
    assert isinstance(compose(METHODS["hirm"].overrides).policy.output, Residual)


def test_the_paper_to_the_letter_trains_on_two_environments():
    assert compose(METHODS["hirm_paper"].overrides).data.train == ("low", "medium")
    assert len(compose(["study=paper"]).data.train) == 4


def test_the_registered_study_trains_as_the_standard_one_does():
    assert compose(["study=paper"]).settings() == compose(["study=standard"]).settings()


def test_the_benchmark_holds_the_methods_of_the_crisis_table():
    assert set(BENCHMARK) <= set(METHODS)
    assert {"no_hedge", "delta", "whalley_wilmott", "erm", "hirm"} <= set(BENCHMARK)


def test_a_plugin_that_cannot_be_imported_is_named():
    with pytest.raises(InputError, match=r"plugins: 'not_there' cannot be imported"):
        compose(["plugins=[not_there]"])


def test_a_plugin_adds_a_member(tmp_path, monkeypatch):
    (tmp_path / "own_objective.py").write_text(
        "from praesidium.objectives.erm import ERM\nclass Own(ERM, kind='own_for_test'):\n    '''Mine.'''\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    assert compose(["plugins=[own_objective]", "objective.kind=own_for_test"]).objective.kind == "own_for_test"
