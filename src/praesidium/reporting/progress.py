"""Progress of a grid: a bar on a terminal, nothing in a log but what failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from praesidium.experiments.engines import Outcome


def follow(outcomes: Iterable[Outcome], total: int, *, before: int = 0) -> list[str]:
    """Watch outcomes come in.

    Args:
        outcomes: of the cells that are run.
        total: number of all cells.
        before: number of those that were done already.

    Returns:
        One sentence for each cell that has no result: it failed, or another process has it.
    """
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    troubles: list[str] = []
    counts: Counter[str] = Counter({"skipped": before} if before else {})
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("cells", total=total, completed=before)
        for outcome in outcomes:
            counts[outcome.status] += 1
            bar.update(task, advance=1, description=outcome.cell)
            if outcome.status == "failed":
                troubles.append(f"{outcome.cell} failed: {outcome.reason}")
            elif outcome.status == "elsewhere":
                troubles.append(f"{outcome.cell} is being run by another process; summarize when it is finished")
    console.print(", ".join(f"{count} {status}" for status, count in counts.items()), highlight=False)
    return troubles
