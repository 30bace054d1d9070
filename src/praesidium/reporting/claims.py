"""Verdicts on what was claimed beforehand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from praesidium.experiments import store
from praesidium.reporting.comparison import Comparisons, Effect
from praesidium.reporting.paired import equivalent
from praesidium.reporting.prereg import Claim, Prereg

Word = Literal["supported", "practically equivalent", "inconclusive", "contradicted", "missing"]

# Of a claim with several effects: the first word that any of them has.
PRECEDENCE: tuple[Word, ...] = ("contradicted", "missing", "practically equivalent", "inconclusive", "supported")

FEWEST_SEEDS = 2  # that the method shares with its baseline, for a grid to be judged unasked
LABELS = ("quantity", "method", "reference", "environment")
NUMBERS = ("estimate", "lower", "upper", "p", "p_holm")


@dataclass(frozen=True)
class Finding:
    """One effect and what it says of the claim."""

    verdict: Word
    effect: Effect
    remark: str


@dataclass(frozen=True)
class Verdict:
    """What the runs say of a claim.

    Attributes:
        id: of the claim.
        statement: what was claimed.
        verdict: of all findings together: the claim needs each of them.
        sentence: the same with its numbers, for people.
        findings: one an effect.
        seeds: that any finding used, rising.
        missing: methods, seeds and measurements that are not there.
    """

    id: str
    statement: str
    verdict: Word
    sentence: str
    findings: tuple[Finding, ...]
    seeds: tuple[int, ...]
    missing: tuple[str, ...]


def judge(root: Path, prereg: Prereg, *, seeds: Sequence[int] | None = None) -> list[Verdict]:
    """Hold what a results folder has against a registration, a claim after the other.

    An effect supports its claim if its interval lies on the claimed side (and, where the claim says so, the adjusted
    p-value is small and the estimate reaches the goal); it contradicts it if the interval lies wholly on the other
    side; it is practically equivalent if the shorter interval lies within the margin; else it is inconclusive. It is
    missing if a method has no finished run. Single seeds that are missing are named, and the others decide.

    Args:
        root: results folder.
        prereg: protocol and claims.
        seeds: other seeds than the registered ones, to look at a study that is still being developed.

    Raises:
        InputError: if runs cannot be read, or have another number of episodes than the protocol asks for.
    """
    protocol = prereg if seeds is None else prereg.model_copy(update={"seeds": tuple(seeds)})
    wants = [want for claim in prereg.claims for want in claim.wants()]
    comparisons = Comparisons(root, protocol, wants)
    return [_verdict(claim, claim.effects(comparisons), prereg) for claim in prereg.claims]


def claims_table(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """One row an effect, for a CSV file; what cannot be told is empty."""
    rows = [
        {
            "id": verdict.id,
            "verdict": verdict.verdict,
            "finding": finding.verdict,
            **{key: getattr(finding.effect, key) for key in LABELS},
            **{key: getattr(finding.effect, key) for key in NUMBERS},
            "seeds": len(finding.effect.seeds),
            "missing": "; ".join(finding.effect.missing),
            "statement": verdict.statement,
            "sentence": verdict.sentence,
        }
        for verdict in verdicts
        for finding in verdict.findings
    ]
    return pd.DataFrame(rows).astype(dict.fromkeys(NUMBERS, float))


def seeds_to_judge(runs: Sequence[store.Entry], prereg: Prereg) -> tuple[int, ...]:
    """The registered seeds that finished runs have, where a registration applies to them; none where it does not.

    It applies if all runs on its data set were evaluated on its number of episodes, and its method and its baseline
    share at least two of its seeds.
    """
    here = [run for run in runs if run.settings["dataset"] == prereg.dataset]
    if any(run.settings["evaluation"]["episodes"] != prereg.episodes for run in here):
        return ()
    own, base = (
        {run.settings["seed"] for run in here if run.settings["method"] == name}
        for name in (prereg.method, prereg.baseline)
    )
    if len(own & base & set(prereg.seeds)) < FEWEST_SEEDS:
        return ()
    there = {run.settings["seed"] for run in here}
    return tuple(seed for seed in prereg.seeds if seed in there)


def write_claims(verdicts: Sequence[Verdict], registration: str, root: Path) -> list[Path]:
    """Write ``claims.json`` and ``claims.csv``; the former has the SHA-256 of the registration."""
    plain, table = root / "claims.json", root / "claims.csv"
    told = {"prereg": registration, "claims": [asdict(one) for one in verdicts]}
    store.write_text(plain, json.dumps(told, indent=2))
    store.write_text(table, claims_table(verdicts).to_csv(index=False))
    return [plain, table]


def _verdict(claim: Claim, effects: Sequence[Effect], prereg: Prereg) -> Verdict:
    findings = tuple(_finding(claim, effect, prereg) for effect in effects)
    found = {finding.verdict for finding in findings}
    word: Word = next(word for word in PRECEDENCE if word in found)
    missing = tuple(dict.fromkeys(lack for effect in effects for lack in effect.missing))
    return Verdict(
        id=claim.id,
        statement=claim.statement,
        verdict=word,
        sentence=_sentence(word, findings, missing),
        findings=findings,
        seeds=tuple(sorted({seed for effect in effects for seed in effect.seeds})),
        missing=missing,
    )


def _finding(claim: Claim, effect: Effect, prereg: Prereg) -> Finding:
    if effect.estimate is None and not effect.seeds:
        return Finding("missing", effect, "")
    if effect.estimate is None or effect.lower is None or effect.upper is None:
        return Finding("inconclusive", effect, "the number is not defined in every draw")
    remark = claim.remark(effect)
    if claim.supported(effect, significance=1 - prereg.confidence):
        return Finding("supported", effect, remark)
    if claim.contradicted(effect):
        return Finding("contradicted", effect, remark)
    if effect.equivalence and equivalent(effect.equivalence, margin=prereg.equivalence_margin):
        within = f"no advantage over {effect.reference}: within {prereg.equivalence_margin:.0%} either way"
        return Finding("practically equivalent", effect, within)
    return Finding("inconclusive", effect, remark)


def _sentence(word: str, findings: Sequence[Finding], missing: Sequence[str]) -> str:
    parts = [_phrase(finding, alone=len(findings) == 1) for finding in findings if finding.verdict != "missing"]
    return f"{word.capitalize()}: {'; '.join([*parts, *missing])}."


def _phrase(finding: Finding, *, alone: bool) -> str:
    effect = finding.effect
    said = [f"{effect.quantity} of {effect.method} against {effect.reference} in {effect.environment}"]
    if effect.estimate is not None:
        ends = [f"{end:.3f}" for end in (effect.lower, effect.upper) if end is not None]
        said[0] += f" is {effect.estimate:.3f}" + (f" ({' to '.join(ends)})" if ends else "")
    if effect.p_holm is not None:
        said.append(f"Holm p = {effect.p_holm:.2g}")
    elif effect.p is not None:
        said.append(f"p = {effect.p:.2g}")
    said += [f"{len(effect.seeds)} seeds"] if effect.seeds else []
    said += [finding.remark] if finding.remark else []
    said += [] if alone else [finding.verdict]
    return ", ".join(said)
