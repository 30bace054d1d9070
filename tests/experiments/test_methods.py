"""Methods: the published names, each a row that composes, and no competitor that knows the answer."""

from functools import cache

import pytest

from praesidium.component import InputError, build
from praesidium.experiments.grid import PRESETS
from praesidium.experiments.methods import ABLATIONS, BENCHMARK, METHODS, NAMED, STUDY, overrides_of
from praesidium.experiments.study import Study, compose

TWELVE = [
    "hirm_full",
    "hirm_no_hgca",
    "hirm_full_irm",
    "hirm_env_specific_heads",
    "hirm_no_split",
    "hirm_phi_only",
    "hirm_r_only",
    "hirm_random_env_labels",
    "hirm_coarse_env_bands",
    "erm_baseline",
    "groupdro_baseline",
    "vrex_baseline",
]
EVERY = pytest.mark.parametrize("name", NAMED)


@cache
def study_of(name):
    return compose(overrides_of(name))


def differences(one, other):
    """Settings in which two methods differ."""

    def flat(settings, prefix=""):
        for key, value in settings.items():
            yield from flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(f"{prefix}{key}", value)]

    mine, yours = (dict(flat(study_of(name).settings())) for name in (one, other))
    return {key for key in {**mine, **yours} if mine.get(key) != yours.get(key)}


def test_the_ablation_has_the_twelve_published_names():
    assert list(ABLATIONS) == TWELVE


@EVERY
def test_every_named_method_composes_and_says_what_it_is(name):
    study = study_of(name)
    assert build(Study, study.settings()) == study
    assert NAMED[name].says


@EVERY
def test_none_but_a_bound_is_trained_on_what_it_is_judged_on(name):
    data = study_of(name).data
    assert (set(data.train) & {*data.validation, *data.test} != set()) == NAMED[name].bound
    assert data.oracle == NAMED[name].bound


def test_the_oracle_is_marked_as_a_bound():
    assert [name for name, one in NAMED.items() if one.bound] == ["erm_oracle"]


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("hirm_full", set()),
        ("hirm_full_irm", {"objective.scope"}),
        ("hirm_env_specific_heads", {"policy.head.kind"}),
        ("hirm_no_split", {"policy.encoder.kind", "policy.encoder.modulation"}),
        ("hirm_phi_only", {"policy.encoder.kind", "policy.encoder.modulation"}),
        ("hirm_r_only", {"policy.encoder.kind", "policy.encoder.modulation"}),
        ("hirm_random_env_labels", {"train.labels"}),
        ("hirm_coarse_env_bands", {"data.train"}),
    ],
)
def test_an_ablation_takes_one_thing_from_the_full_method(name, changed):
    assert differences(name, "hirm") == changed


def test_without_alignment_the_objective_alone_differs():
    assert {one.partition(".")[0] for one in differences("hirm_no_hgca", "hirm_full")} == {"objective"}


@pytest.mark.parametrize("name", ["erm", "groupdro", "vrex"])
def test_baselines_have_the_same_settings_by_both_names(name):
    assert differences(name, f"{name}_baseline") == set()


def test_presets_run_methods_that_there_are():
    assert set(BENCHMARK) <= set(METHODS)
    assert set(BENCHMARK) < set(STUDY) <= set(NAMED)
    assert all(set(one.methods) <= set(NAMED) for one in PRESETS.values())
    assert not any(NAMED[name].bound for name in BENCHMARK)


def test_an_unknown_method_is_refused_with_the_nearest_name():
    with pytest.raises(InputError, match=r"methods: 'hirm_ful' is unknown; did you mean 'hirm_full'\?"):
        overrides_of("hirm_ful")
