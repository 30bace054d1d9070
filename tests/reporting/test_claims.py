"""Verdicts on stores with planted effects, and their numbers beside those computed by hand."""

import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from scipy import stats

from praesidium.component import InputError
from praesidium.experiments.store import entries
from praesidium.reporting.claims import claims_table, judge, seeds_to_judge, write_claims
from praesidium.reporting.comparison import Comparisons, Want
from praesidium.reporting.prereg import PACKAGED, load
from praesidium.risk import cvar

SEEDS, EPISODES, DRAWS = range(8), 400, 200
PLACES = ("high", "crisis", "crisis_jumps", "crisis_liquidity")
RULES = ("delta", "whalley_wilmott")

# Size of the losses beside those of ERM.
SIZES = {
    **dict.fromkeys(("erm", "erm_reg", "groupdro", "vrex", "hirm_random_env_labels", "joint_erm"), 1.0),
    **dict.fromkeys(("hirm_phi", "hirm_psi", "delta_shrink", "erm_residual", "joint_hirm"), 0.9),
    **{"irm_head": 1.2, "delta": 0.8, "whalley_wilmott": 0.8, "mask_residual": 0.62, "hirm": 0.6, "erm_oracle": 0.58},
}


def draw(*words):
    return np.random.default_rng([sum(map(ord, str(word))) for word in words])


def write(root, method, seed, size, **metrics):
    """Losses of all methods are those of the same markets, times a size, and a little of their own."""
    folder = root / "synthetic_heston" / method / f"seed_{seed}"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("{}")
    own = 0 if method in RULES else 0.01 * draw(method, seed).normal()
    frames, final = [], {} if method in RULES else {"training/best_step": 1}
    for place in PLACES:
        losses = (size + own) * (0.02 * draw(place).normal(size=EPISODES) + 0.01)
        columns = {"pnl": -losses, "max_drawdown": np.abs(losses), "turnover": np.full(EPISODES, 3.0 * size)}
        frames.append(pd.DataFrame({name: column.astype(np.float32) for name, column in columns.items()}))
        frames[-1].insert(0, "environment", place)
        final[f"metrics/cvar95/{place}"] = cvar(torch.tensor(losses), level=0.95).item()
    (folder / "final_metrics.json").write_text(json.dumps(final | metrics))
    pd.concat(frames).astype({"environment": "category"}).to_parquet(folder / "episodes.parquet", index=False)


def fill(root, sizes):
    for method, size in sizes.items():
        for seed in SEEDS:
            write(root, method, seed, size)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted")
    fill(folder, SIZES)
    return folder


@pytest.fixture(scope="module")
def prereg(tmp_path_factory):
    changed = {"seeds": list(SEEDS), "episodes": EPISODES, "draws": DRAWS}
    path = tmp_path_factory.mktemp("registered") / "prereg.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(PACKAGED.read_text()), **changed}))
    return load(path)


@pytest.fixture(scope="module")
def verdicts(root, prereg):
    return {verdict.id: verdict for verdict in judge(root, prereg)}


def only(prereg, *ids):
    return prereg.model_copy(update={"claims": tuple(claim for claim in prereg.claims if claim.id in ids)})


def test_planted_effects(verdicts):
    words = {name: verdict.verdict for name, verdict in verdicts.items()}
    assert words == {
        **dict.fromkeys(("P1", "P2", "P3", "P4", "P5a", "P5b", "P6", "T1", "T2", "T3", "A1", "A3"), "supported"),
        "A2": "contradicted",
        "P7": "missing",
    }
    assert "short of the goal" in verdicts["A2"].sentence
    assert "exceeds the band" in verdicts["P3"].sentence
    assert verdicts["P7"].missing[0] == "no metrics/isi/c2 of erm with 8 of 8 seeds"


def test_estimates_are_those_of_the_stored_metrics(root, verdicts):
    def risks(method):
        files = [root / "synthetic_heston" / method / f"seed_{seed}" / "final_metrics.json" for seed in SEEDS]
        return np.array([json.loads(file.read_text())["metrics/cvar95/crisis"] for file in files])

    hirm, erm, oracle, delta = map(risks, ("hirm", "erm", "erm_oracle", "delta"))
    found = {name: verdicts[name].findings[0].effect for name in ("P1", "T3", "T2")}
    assert found["P1"].estimate == pytest.approx(np.median(1 - hirm / erm), rel=1e-5)
    assert found["P1"].p == pytest.approx(stats.wilcoxon(np.log(hirm / erm)).pvalue)
    assert found["T3"].estimate == pytest.approx(np.median(erm - hirm) / np.median(erm - oracle), rel=1e-4)
    assert found["T2"].estimate == pytest.approx(np.median(1 - hirm / delta), rel=1e-5)
    assert all(one.lower < one.estimate < one.upper for one in found.values())
    assert all(one.seeds == tuple(SEEDS) for one in found.values())


def test_mean_pnl_is_measured_in_risks_of_the_reference(root, prereg):
    found = judge(root, only(prereg, "P5a"))[0].findings[0].effect
    losses = 0.02 * draw("crisis").normal(size=EPISODES) + 0.01
    shares = [
        (losses.mean() * (1 + 0.01 * draw("erm", seed).normal() - 0.6 - 0.01 * draw("hirm", seed).normal()))
        / ((1 + 0.01 * draw("erm", seed).normal()) * cvar(torch.tensor(losses), level=0.95).item())
        for seed in SEEDS
    ]
    assert found.estimate == pytest.approx(np.median(shares), rel=1e-4)


def test_holm_is_within_the_whole_family_and_absent_members_keep_their_place(tmp_path, prereg, verdicts):
    raw = stats.wilcoxon(np.arange(1, 9)).pvalue  # all eight seeds agree
    assert verdicts["P1"].findings[0].effect.p == pytest.approx(raw)
    assert verdicts["P1"].findings[0].effect.p_holm == pytest.approx(6 * raw)
    fill(tmp_path, {"erm": 1.0, "hirm": 0.6})
    (lone,) = judge(tmp_path, only(prereg, "P1"))
    assert lone.findings[0].effect.p_holm == pytest.approx(6 * raw)
    assert verdicts["A1"].findings[0].effect.p_holm is None


def test_a_verdict_does_not_depend_on_the_other_claims(root, prereg, verdicts):
    (alone,) = judge(root, only(prereg, "T3"))
    assert alone == verdicts["T3"]


def test_equal_methods_are_practically_equivalent(tmp_path, prereg):
    fill(tmp_path, {"erm": 1.0, "erm_reg": 0.605, "hirm": 0.6})
    for method in ("irm_head", "hirm_random_env_labels", "hirm_phi", "hirm_psi"):
        fill(tmp_path, {method: 1.0})
    (verdict,) = judge(tmp_path, only(prereg, "P4"))
    assert verdict.verdict == "practically equivalent"
    assert [finding.verdict for finding in verdict.findings] == ["practically equivalent", *["supported"] * 4]
    assert "no advantage over erm_reg: within 5% either way" in verdict.sentence


def test_the_worse_method_is_contradicted(tmp_path, prereg):
    fill(tmp_path, {"erm": 1.0, "hirm": 1.6})
    words = [verdict.verdict for verdict in judge(tmp_path, only(prereg, "P1", "P2", "P3", "P5a", "P5b", "P6", "T1"))]
    assert words == ["contradicted"] * 7


def test_few_seeds_are_inconclusive(root, prereg):
    (verdict,) = judge(root, only(prereg, "P1"), seeds=[0, 1, 2])
    assert verdict.seeds == (0, 1, 2)
    assert verdict.verdict == "inconclusive"
    assert verdict.findings[0].effect.lower > 0.3


def test_a_missing_method_is_missing_and_named(tmp_path, prereg):
    fill(tmp_path, {"hirm": 0.6, "delta": 0.8})
    p1, t2 = judge(tmp_path, only(prereg, "P1", "T2"))
    assert p1.verdict == t2.verdict == "missing"
    assert p1.sentence == "Missing: no finished run of erm."
    assert [finding.verdict for finding in t2.findings] == ["supported", "missing"]
    assert p1.findings[0].effect.estimate is None


def test_missing_seeds_are_named_and_the_others_decide(tmp_path, prereg):
    fill(tmp_path, {"erm": 1.0, "hirm": 0.6})
    for seed in (2, 5):
        (tmp_path / "synthetic_heston" / "hirm" / f"seed_{seed}" / "final_metrics.json").unlink()
    (verdict,) = judge(tmp_path, only(prereg, "P2"))
    assert verdict.verdict == "supported"
    assert verdict.seeds == (0, 1, 3, 4, 6, 7)
    assert verdict.missing == ("no finished run of hirm with seed 2, 5",)
    assert verdict.sentence.endswith("6 seeds; no finished run of hirm with seed 2, 5.")


def test_methods_that_share_no_seed(tmp_path, prereg):
    for seed in SEEDS:
        write(tmp_path, "erm" if seed % 2 else "hirm", seed, 1.0)
    (verdict,) = judge(tmp_path, only(prereg, "P2"))
    assert verdict.verdict == "missing"
    assert verdict.missing[-1] == "no seed that hirm and erm share"


def test_two_rules_need_no_seeds(root, prereg):
    wants = [Want("cvar95", "crisis", ("delta", "whalley_wilmott"))]
    effect = Comparisons(root, prereg, wants).reduction("cvar95", "delta", "whalley_wilmott", "crisis")
    assert (effect.estimate, effect.lower, effect.upper, effect.seeds, effect.p) == (0.0, 0.0, 0.0, (), None)


def test_a_gap_that_is_none_has_no_share(tmp_path, prereg):
    fill(tmp_path, {"erm": 1.0, "hirm": 0.9, "erm_oracle": 1.1})
    (verdict,) = judge(tmp_path, only(prereg, "T3"))
    assert verdict.verdict == "inconclusive"
    assert verdict.findings[0].effect.estimate is None
    assert "not defined" in verdict.sentence


@pytest.mark.parametrize(("sign", "word"), [(-1.0, "supported"), (1.0, "contradicted"), (None, "missing")])
def test_the_mechanism(tmp_path, prereg, sign, word):
    """Gaps and stabilities vary within methods; the mean risk is made not to."""
    (claim,) = only(prereg, "P7").claims
    for method in claim.pooled:
        for seed in SEEDS:
            gap = draw("gap", method, seed).uniform(0.01, 0.02)
            risks = dict(
                zip(claim.environments, (-gap / 2, gap / 2, 0, draw(seed, method).uniform(-0.001, 0.001)), strict=True)
            )
            metrics = {f"metrics/cvar95/{name}": 0.1 + risk for name, risk in risks.items()}
            c2 = None if sign is None else sign * gap + 0.001 * draw("noise", method, seed).normal()
            folder = tmp_path / "synthetic_heston" / method / f"seed_{seed}"
            folder.mkdir(parents=True)
            (folder / "final_metrics.json").write_text(json.dumps({**metrics, "metrics/isi/c2": c2}))
    (verdict,) = judge(tmp_path, only(prereg, "P7"))
    assert verdict.verdict == word
    if sign:
        assert verdict.seeds == tuple(SEEDS)
        assert np.sign(verdict.findings[0].effect.estimate) == sign


def test_other_numbers_of_episodes_are_refused(root, prereg):
    with pytest.raises(InputError, match="the protocol asks for 20000"):
        judge(root, prereg.model_copy(update={"episodes": 20000}))


def test_verdicts_are_plain_data_and_a_table(verdicts):
    assert json.loads(json.dumps([asdict(one) for one in verdicts.values()], allow_nan=False))[0]["id"] == "P1"
    table = claims_table(list(verdicts.values()))
    assert len(table) == sum(len(verdict.findings) for verdict in verdicts.values())
    row = table[table.id == "P1"].iloc[0]
    assert (row.verdict, row.reference, row.seeds) == ("supported", "erm", len(SEEDS))
    assert table[table.id == "P7"].estimate.isna().all()
    assert pd.api.types.is_float_dtype(table.p_holm)


@pytest.fixture
def leave(tmp_path):
    """Leaves a finished run of a method in the grid, as far as it is looked at before it is judged."""

    def left(method, seed, *, dataset="synthetic_heston", episodes=EPISODES):
        folder = tmp_path / dataset / method / f"seed_{seed}"
        folder.mkdir(parents=True)
        names = {"dataset": dataset, "method": method, "seed": seed, "evaluation": {"episodes": episodes}}
        (folder / "config.yaml").write_text(yaml.safe_dump(names))

    return left


def test_a_grid_is_judged_on_the_registered_seeds_that_are_there(tmp_path, prereg, leave):
    for method, seeds in (("erm", (0, 1, 5, 1000)), ("hirm", (1, 5, 6, 1000)), ("delta", (3,))):
        for seed in seeds:
            leave(method, seed)
    leave("erm", 0, dataset="sp500", episodes=50)
    assert seeds_to_judge(entries(tmp_path), prereg) == (0, 1, 3, 5, 6)


@pytest.mark.parametrize(
    ("missing", "changes"),
    [
        ("another data set", {"dataset": "sp500"}),
        ("other episodes", {"episodes": 2 * EPISODES}),
        ("a second shared seed", {"seeds": {"erm": (0, 1), "hirm": (1, 2)}}),
        ("a second registered seed", {"seeds": {"erm": (0, 1000), "hirm": (0, 1000)}}),
        ("the method", {"seeds": {"erm": (0, 1)}}),
        ("the baseline", {"seeds": {"hirm": (0, 1), "delta": (0, 1)}}),
    ],
)
def test_where_the_registration_does_not_apply_no_seed_is_judged(tmp_path, prereg, leave, missing, changes):
    seeds = changes.pop("seeds", {"erm": (0, 1), "hirm": (0, 1)})
    for method, own in seeds.items():
        for seed in own:
            leave(method, seed, **changes)
    assert seeds_to_judge(entries(tmp_path), prereg) == ()


def test_one_run_with_other_episodes_is_enough_not_to_judge(tmp_path, prereg, leave):
    for seed in (0, 1):
        leave("erm", seed)
        leave("hirm", seed)
    assert seeds_to_judge(entries(tmp_path), prereg) == (0, 1)
    leave("vrex", 0, episodes=50)
    assert seeds_to_judge(entries(tmp_path), prereg) == ()


def test_what_is_written_says_which_registration_it_was(tmp_path, verdicts):
    plain, table = write_claims(list(verdicts.values()), "abc", tmp_path)
    told = json.loads(plain.read_text())
    assert (plain.name, table.name) == ("claims.json", "claims.csv")
    assert told["prereg"] == "abc"
    assert [one["id"] for one in told["claims"]] == list(verdicts)
    assert pd.read_csv(table).verdict.tolist() == claims_table(list(verdicts.values())).verdict.tolist()
