"""Any two methods against each other, on the seeds and episodes that both have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.table import Table

from praesidium.component import InputError, unknown
from praesidium.diagnostics.scorecard import LEVEL
from praesidium.experiments.methods import NAMED
from praesidium.reporting.aggregates import interquartile_mean
from praesidium.reporting.losses import read_losses
from praesidium.reporting.paired import probability_of_improvement, wilcoxon
from praesidium.reporting.pigeonhole import Draws, cvar_draws
from praesidium.reporting.statistics import median_reduction
from praesidium.training.reproducibility import stream

SCALE = 1e4
COLUMNS = ("method", "reference", "seeds", "cvar95", "reference_cvar95", "reduction", "lower", "upper", "p", "improves")


def contrasts(
    root: Path, dataset: str, environment: str, pairs: Sequence[tuple[str, str]], *, draws: int = 5000
) -> pd.DataFrame:
    """One row a pair: interquartile means of CVaR-95, and the median reduction with its pigeonhole interval.

    ``reduction`` is 1 - CVaR-95 / CVaR-95 of the reference, median over seeds; positive is better than the reference.
    ``p`` is the exact signed-rank test of the log ratios, two-sided and not adjusted; ``improves`` the share of seeds
    in which the method is better.

    Raises:
        InputError: if a method is unknown or has no finished run there.
    """
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    for name in names:
        if name not in NAMED:
            raise InputError(unknown("pairs", name, NAMED))
    losses = read_losses(root, dataset, environment, names)
    if losses.absent:
        raise InputError(f"{root}: no finished run of {', '.join(losses.absent)} on {dataset}; leave it out or run it")
    rows = []
    for method, reference in pairs:
        tables = losses.paired(method, reference)
        seeds = max(len(one) for one in tables.values())
        episodes = tables[method].shape[1]
        generator = stream("contrasts", method, reference)
        made = Draws.make(seeds=seeds, episodes=episodes, generator=generator, draws=draws)
        risks = cvar_draws(tables, made, level=LEVEL)
        found = median_reduction(risks[method], risks[reference])
        mine, theirs = (risks[one].observed.double() for one in (method, reference))
        difference = mine.log() - theirs.log()
        numbers = (seeds, interquartile_mean(mine).item(), interquartile_mean(theirs).item())
        tests = (wilcoxon(difference), probability_of_improvement(difference))
        rows.append((method, reference, *numbers, found.point, found.lower, found.upper, *tests))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def contrast_table(found: pd.DataFrame) -> Table:
    """For people."""
    table = Table()
    for name in ("method", "against"):
        table.add_column(name, no_wrap=True)
    for name in ("seeds", "CVaR-95 bp", "against bp", "reduction", "95 % interval", "p", "better in"):
        table.add_column(name, justify="right")
    for row in found.to_dict("records"):
        table.add_row(
            str(row["method"]),
            str(row["reference"]),
            str(row["seeds"]),
            f"{row['cvar95'] * SCALE:.1f}",
            f"{row['reference_cvar95'] * SCALE:.1f}",
            f"{row['reduction']:+.1%}",
            f"{row['lower']:+.1%} to {row['upper']:+.1%}",
            f"{row['p']:.2g}",
            f"{row['improves']:.0%}",
        )
    return table
