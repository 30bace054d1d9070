"""Methods by name: rows of a table, not code. A method is a choice of policy and objective."""

from __future__ import annotations

from dataclasses import dataclass

from praesidium.component import InputError, unknown


@dataclass(frozen=True)
class Method:
    """One row.

    Attributes:
        overrides: what makes up the method, as Hydra overrides.
        says: one line for people.
    """

    overrides: tuple[str, ...]
    says: str


METHODS = {
    "no_hedge": Method(("policy=no_hedge",), "the liability runs naked"),
    "delta": Method(("policy=delta",), "Black-Scholes delta, every day"),
    "whalley_wilmott": Method(("policy=whalley_wilmott",), "no-trade band around delta"),
    "erm": Method(("policy=joint_free", "objective=erm"), "the standard deep hedge"),
    "groupdro": Method(("policy=joint_free", "objective=groupdro"), "standard deep hedge, worst environment"),
    "vrex": Method(("policy=joint_free", "objective=vrex"), "standard deep hedge, flat risks"),
    "irm": Method(("policy=joint_free", "objective=irm"), "standard deep hedge, IRMv1"),
    "erm_residual": Method(("policy=neural", "objective=erm"), "the network of hirm, without alignment"),
    "hirm": Method(("policy=neural", "objective=hirm"), "split bounded residual network, head alignment (cosine)"),
    "hirm_nvar": Method(("policy=neural", "objective=hirm", "objective.form=nvar"), "hirm with normalized variance"),
    "hirm_irm_head": Method(
        ("policy=neural", "objective=hirm", "objective.form=irm_head"), "hirm with squared head gradients"
    ),
}

BENCHMARK = ("no_hedge", "delta", "whalley_wilmott", "erm", "groupdro", "vrex", "irm", "erm_residual", "hirm")


def overrides_of(name: str) -> tuple[str, ...]:
    """What makes up a method.

    Raises:
        InputError: if there is no such method.
    """
    if name not in METHODS:
        raise InputError(unknown("methods", name, METHODS))
    return METHODS[name].overrides
