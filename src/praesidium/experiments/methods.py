"""Methods by name: rows of a table, not code. A method is a choice of network, objective, labels and recipe."""

from __future__ import annotations

from dataclasses import dataclass, replace

from praesidium.component import InputError, unknown


@dataclass(frozen=True)
class Method:
    """One row.

    Attributes:
        overrides: what makes up the method, as Hydra overrides.
        says: one line for people.
        bound: whether it is an upper bound that knows what it is judged on, never a competitor.
    """

    overrides: tuple[str, ...]
    says: str
    bound: bool = False


FREE = ("policy=joint_free",)  # the standard deep hedge: one network for everything, its output is the position
RESIDUAL = ("policy=joint_residual",)  # the same network, its output is added to delta
SPLIT = ("policy=neural",)  # the regime may scale the structural features within bounds; added to delta
REVALUE = "state.revalue=true"
OPTION = "instruments=[{kind: listed_option, days: 120}]"  # at the money, twice as long as the claim
REGIMES = "regimes=gaussian_hmm"


def _tuned(policy: str, setting: str, values: str, *more: str) -> Method:
    """A rule whose setting is chosen on the validation environments."""
    choice = f"choice={{setting: {setting}, values: [{values}]}}"
    return Method((f"policy={policy}", choice, *more), f"{policy}, {setting} chosen on validation")


def _aware(policy: str, says: str, *more: str) -> Method:
    """A network that sees the regime, trained as the standard deep hedge is."""
    return Method((f"policy={policy}", "objective=erm", REGIMES, *more), says)


METHODS = {
    "no_hedge": Method(("policy=no_hedge",), "the liability runs naked"),
    "delta": Method(("policy=delta",), "Black-Scholes delta, every day"),
    "leland": Method(("policy=leland", REVALUE), "delta at a volatility that pays for the trading"),
    "minimum_variance": Method(("policy=minimum_variance", REVALUE), "delta that expects volatility to move"),
    "whalley_wilmott": Method(("policy=whalley_wilmott",), "no-trade band around delta"),
    "zakamouline": Method(("policy=zakamouline", REVALUE), "no-trade band around a delta of higher volatility"),
    "delta_gamma": Method(("policy=delta_gamma", OPTION), "spot and a listed option against gamma"),
    "delta_vega": Method(("policy=delta_vega", OPTION), "spot and a listed option against vega"),
    "leland_tuned": _tuned("leland", "multiplier", "0,0.25,0.5,1,2,4", REVALUE),
    "minimum_variance_tuned": _tuned("minimum_variance", "slope", "-0.8,-0.6,-0.4,-0.3,-0.2,-0.1,0,0.1", REVALUE),
    "whalley_wilmott_tuned": _tuned("whalley_wilmott", "risk_aversion", "30,100,300,1000,3000,10000,30000"),
    "zakamouline_tuned": _tuned("zakamouline", "risk_aversion", "10,30,100,300,1000,3000,10000,30000", REVALUE),
    "delta_gamma_tuned": _tuned("delta_gamma", "share", "0,0.1,0.2,0.35,0.5,0.75,1", OPTION),
    "delta_vega_tuned": _tuned("delta_vega", "share", "0,0.1,0.2,0.35,0.5,0.75,1", OPTION),
    "erm": Method((*FREE, "objective=erm"), "the standard deep hedge"),
    "erm_pooled": Method((*FREE, "objective=erm", "risk.pooled=true"), "standard deep hedge, CVaR of all episodes"),
    "erm_reg": Method(
        (*FREE, "objective=erm", "train.weight_decay=1e-3", "train.dropout=0.3"), "with weight decay and dropout"
    ),
    "domain_randomized": Method(
        (*FREE, "objective=erm", "data.train=[wide_low,wide_medium_10_15,wide_medium_15_20,wide_medium_20_25]"),
        "standard deep hedge on calm markets with random parameters",
    ),
    "groupdro": Method((*FREE, "objective=groupdro"), "standard deep hedge, worst environment"),
    "vrex": Method((*FREE, "objective=vrex"), "standard deep hedge, flat risks"),
    "irmv1": Method((*FREE, "objective=irmv1"), "standard deep hedge, IRMv1"),
    "irm_head": Method((*FREE, "objective=irm_head"), "standard deep hedge, IRM with the head as classifier"),
    "iga_head": Method((*FREE, "objective=iga_head"), "standard deep hedge, variance of head gradients"),
    "fishr_head": Method((*FREE, "objective=fishr_head"), "standard deep hedge, equal spread of head gradients"),
    "coral": Method((*FREE, "objective=coral"), "standard deep hedge, equal moments of features"),
    "env_cvar": Method((*FREE, "objective=env_cvar"), "standard deep hedge, CVaR over environments"),
    "eqrm": Method((*FREE, "objective=eqrm"), "standard deep hedge, quantile over environments"),
    "and_mask": Method((*FREE, "objective=and_mask"), "standard deep hedge, head moves where environments agree"),
    "pcgrad": Method((*FREE, "objective=pcgrad"), "standard deep hedge, head gradients projected"),
    "erm_oracle": Method(
        (
            *RESIDUAL,
            "objective=erm",
            "data.oracle=true",
            "data.train=[low,medium_10_15,medium_15_20,medium_20_25,high,crisis]",
            "data.validation=[crisis]",
        ),
        "has trained on the crisis: an upper bound",
        bound=True,
    ),
    "joint_erm": Method((*RESIDUAL, "objective=erm"), "joint residual network, ERM"),
    "joint_hirm": Method((*RESIDUAL, "objective=hirm"), "joint residual network, head alignment"),
    "joint_irm_head": Method((*RESIDUAL, "objective=irm_head"), "joint residual network, squared head gradients"),
    "joint_shrink": Method((*RESIDUAL, "objective=delta_shrink"), "joint residual network, shrunk toward delta"),
    "joint_mask": Method((*RESIDUAL, "objective=and_mask"), "joint residual network, masked head gradients"),
    "erm_residual": Method((*SPLIT, "objective=erm"), "the network of hirm, without alignment"),
    "split_free": Method((*SPLIT, "policy.output.kind=free", "objective=erm"), "that network, its output the position"),
    "split_loose": Method((*SPLIT, "policy.encoder.modulation=0.95", "objective=erm"), "that network, hardly bounded"),
    "phi_residual": Method((*SPLIT, "policy.encoder.kind=phi_only", "objective=erm"), "blind to the regime, ERM"),
    "delta_shrink": Method((*SPLIT, "objective=delta_shrink"), "the network of hirm, shrunk toward delta"),
    "mask_residual": Method((*SPLIT, "objective=and_mask"), "the network of hirm, masked head gradients"),
    "hirm": Method((*SPLIT, "objective=hirm"), "split bounded residual network, head alignment"),
    "hirm_cos": Method((*SPLIT, "objective=hirm", "objective.form=cos"), "hirm with cosines"),
    "hirm_cross": Method(
        (*SPLIT, "objective=hirm", "objective.form=cos", "objective.cross_fit=true"), "hirm with cross-fitted cosines"
    ),
    "hirm_var": Method((*SPLIT, "objective=hirm", "objective.form=var"), "hirm with plain variance"),
    "hirm_irm_head": Method((*SPLIT, "objective=irm_head"), "the network of hirm, squared head gradients"),
    "hirm_phi": Method((*SPLIT, "objective=hirm", "objective.grad_to=phi"), "hirm, alignment moves phi alone"),
    "hirm_psi": Method((*SPLIT, "objective=hirm", "objective.grad_to=psi"), "hirm, alignment moves psi alone"),
    "hirm_paper": Method(
        (
            *SPLIT,
            "objective=hirm",
            "objective.form=cos",
            "objective.noise_floor=false",
            "objective.guard=false",
            "risk.scale=none",
            "data.train=[low,medium]",
        ),
        "the paper to the letter: cosines, raw risks, two environments",
    ),
    "regime_delta": _aware("regime_delta", "delta corrected by what the filtered regime says"),
    "dynamic_delta": _aware("dynamic_delta", "delta and a share of gamma in a listed option, by regime", OPTION),
    "lstm_delta": _aware("lstm_delta", "delta corrected by a memory of features and regimes"),
    "cost_aware": _aware("cost_aware", "no-trade band whose middle and width follow the regime"),
    "transition_aware": _aware("transition_aware", "delta corrected by the regimes of the days ahead"),
}

# The names of the published ablation: rows of one table, some of them methods from above.
ABLATIONS = {
    "hirm_full": METHODS["hirm"],
    "hirm_no_hgca": METHODS["erm_residual"],
    "hirm_full_irm": Method((*SPLIT, "objective=hirm", "objective.scope=all"), "gradients of all parameters aligned"),
    "hirm_env_specific_heads": Method((*SPLIT, "objective=hirm", "policy.head.kind=per_environment"), "own heads"),
    "hirm_no_split": METHODS["joint_hirm"],
    "hirm_phi_only": Method((*SPLIT, "policy.encoder.kind=phi_only", "objective=hirm"), "structural features alone"),
    "hirm_r_only": Method((*SPLIT, "policy.encoder.kind=r_only", "objective=hirm"), "regime features alone"),
    "hirm_random_env_labels": Method((*SPLIT, "objective=hirm", "train.labels=random"), "environments dealt out anew"),
    "hirm_coarse_env_bands": Method((*SPLIT, "objective=hirm", "data.train=[low,medium]"), "two environments"),
    "erm_baseline": METHODS["erm"],
    "groupdro_baseline": METHODS["groupdro"],
    "vrex_baseline": METHODS["vrex"],
}
NAMED = {**METHODS, **ABLATIONS, "irm": replace(METHODS["irmv1"], says="short for irmv1")}

BENCHMARK = (
    "no_hedge",
    "delta",
    "whalley_wilmott",
    "leland_tuned",
    "minimum_variance_tuned",
    "whalley_wilmott_tuned",
    "zakamouline_tuned",
    "delta_vega",
    "delta_vega_tuned",
    "erm",
    "erm_reg",
    "groupdro",
    "vrex",
    "irmv1",
    "irm_head",
    "erm_residual",
    "hirm",
)
STUDY = (
    *BENCHMARK,
    "erm_oracle",
    "joint_erm",
    "joint_hirm",
    "delta_shrink",
    "mask_residual",
    "hirm_random_env_labels",
    "hirm_phi",
    "hirm_psi",
)


def overrides_of(name: str) -> tuple[str, ...]:
    """What makes up a method.

    Raises:
        InputError: if there is no such method.
    """
    if name not in NAMED:
        raise InputError(unknown("methods", name, NAMED))
    return NAMED[name].overrides
