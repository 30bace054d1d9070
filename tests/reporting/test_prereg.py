"""The registration: the packaged file holds what it promises, and a file that contradicts itself is refused."""

import hashlib

import pytest
import yaml

from praesidium.component import InputError
from praesidium.experiments.study import compose
from praesidium.reporting.comparison import Effect
from praesidium.reporting.prereg import PACKAGED, fingerprint, load

REDUCTION = {"kind": "reduction", "statement": "s", "method": "hirm", "references": ["erm"], "environments": ["crisis"]}


def settings(**changes):
    return {**yaml.safe_load(PACKAGED.read_text()), **changes}


def write(path, **changes):
    path.write_text(yaml.safe_dump(settings(**changes)))
    return path


def claim(name):
    return next(claim for claim in load().claims if claim.id == name)


def effect(estimate, lower, upper, **others):
    return Effect("q", "hirm", "erm", "crisis", estimate, lower, upper, **others)


def judged(name, *numbers, **others):
    one = effect(*numbers, **others)
    return claim(name).supported(one, significance=0.05), claim(name).contradicted(one)


def test_the_packaged_protocol():
    prereg = load()
    assert (prereg.dataset, prereg.environment, prereg.method, prereg.baseline) == (
        "synthetic_heston",
        "crisis",
        "hirm",
        "erm",
    )
    assert prereg.seeds == tuple(range(30))
    assert prereg.development_seeds == (1000, 1001, 1002)
    assert (prereg.episodes, prereg.draws, prereg.confidence, prereg.cvar_level) == (20000, 5000, 0.95, 0.95)
    assert set(prereg.family) == {"erm", "erm_reg", "irm_head", "groupdro", "vrex", "delta"}
    assert [claim.id for claim in prereg.claims] == [
        *("P1", "P2", "P3", "P4", "P5a", "P5b", "P6", "P7"),
        *("T1", "T2", "T3", "A1", "A2", "A3"),
    ]


def test_its_environments_are_those_of_the_data_set():
    prereg = load()
    data = compose([f"data={prereg.dataset}"]).data
    named = {place for claim in prereg.claims for place in claim.environments}
    assert named <= {*data.validation, *data.test}
    assert (prereg.selection.environment,) == data.validation


def test_the_fingerprint_is_that_of_the_bytes(tmp_path):
    assert fingerprint() == hashlib.sha256(PACKAGED.read_bytes()).hexdigest()
    copy = tmp_path / "copy.yaml"
    copy.write_bytes(PACKAGED.read_bytes() + b"# a comment\n")
    assert fingerprint(copy) != fingerprint()
    assert load(copy) == load()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"draw": 5000}, "did you mean 'draws'"),
        ({"seeds": [999, 1000]}, r"seeds \[1000\] also served development"),
        ({"baseline": "coral"}, "not in the family"),
        ({"family": ["erm", "vrx"]}, "did you mean 'vrex'"),
        ({"claims": []}, "claims"),
        ({"claims": [{**REDUCTION, "id": "P1"}, {**REDUCTION, "id": "P1"}]}, "repeat an id"),
        ({"claims": [{**REDUCTION, "id": "P1", "kind": "reducton"}]}, "reduction"),
        ({"claims": [{**REDUCTION, "id": "P1", "references": ["ermm"]}]}, "did you mean 'erm'"),
        ({"claims": [{**REDUCTION, "id": "P1", "references": ["coral"], "significant": True}]}, "primary family"),
        ({"claims": [{**REDUCTION, "id": "P1", "environments": ["high"], "significant": True}]}, "primary family"),
        ({"claims": [{**REDUCTION, "id": "P1", "measure": "turnover", "significant": True}]}, "primary family"),
        ({"confidence": 95}, "confidence"),
    ],
)
def test_what_is_refused(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        load(write(tmp_path / "prereg.yaml", **changes))


@pytest.mark.parametrize("text", ["- a list", "a: [", "!!python/object/apply:os.getcwd []"])
def test_files_that_are_no_settings(tmp_path, text):
    path = tmp_path / "prereg.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match="give a registration"):
        load(path)
    with pytest.raises(InputError, match="cannot be read"):
        load(tmp_path / "nowhere.yaml")


def test_superiority_needs_the_adjusted_test():
    assert judged("P1", 0.3, 0.2, 0.4, p_holm=0.01) == (True, False)
    assert judged("P1", 0.3, 0.2, 0.4, p_holm=0.06) == (False, False)
    assert judged("P1", 0.3, 0.2, 0.4) == (False, False)
    assert judged("P1", 0.1, -0.1, 0.4, p_holm=0.01) == (False, False)
    assert judged("P1", -0.2, -0.3, -0.1, p_holm=0.01) == (False, True)


def test_a_goal_is_for_the_estimate_and_a_threshold_for_the_interval():
    assert judged("T1", 0.32, 0.25, 0.4) == (True, False)
    assert judged("T1", 0.30, 0.25, 0.4) == (False, False)
    assert judged("T1", 0.32, 0.23, 0.4) == (False, False)
    assert judged("T1", 0.28, 0.25, 0.3) == (False, True)
    assert claim("T1").remark(effect(0.28, 0.25, 0.3)) == "an effect, but short of the goal"
    assert claim("T1").remark(effect(0.1, 0.05, 0.2)) == ""


def test_guards_allow_a_little_harm():
    assert judged("P5b", -0.1, -0.15, -0.05) == (True, False)
    assert judged("P5b", -0.3, -0.4, -0.21) == (False, True)
    assert judged("P5a", -0.01, -0.04, 0.02) == (True, False)
    assert judged("P5a", -0.04, -0.06, 0.02) == (False, False)


@pytest.mark.parametrize(
    ("numbers", "expected", "remark"),
    [
        ((0.27, 0.2, 0.33), (True, False), ""),
        ((0.20, 0.15, 0.25), (True, False), ""),
        ((0.40, 0.35, 0.45), (True, False), "exceeds the band"),
        ((0.20, 0.15, 0.23), (False, True), ""),
        ((0.20, -0.1, 0.4), (False, False), ""),
    ],
)
def test_replication(numbers, expected, remark):
    assert judged("P3", *numbers) == expected
    assert claim("P3").remark(effect(*numbers)) == remark


def test_the_mechanism_is_a_negative_correlation():
    assert judged("P7", -0.5, -0.7, -0.2) == (True, False)
    assert judged("P7", -0.5, -0.7, 0.2) == (False, False)
    assert judged("P7", 0.5, 0.2, 0.7) == (False, True)
