"""Environment-balanced batches."""

from __future__ import annotations

import torch
from torch import Tensor


class BalancedBatches:
    """Draws the same number of neighboring episodes from the pool of every environment, from a random start.

    Simulated episodes are exchangeable: a run of neighbors is as good a sample as a shuffle, and needs no gather.

    Args:
        pool: number of episodes of each environment.
        size: episodes of each environment in a batch.
        environments: number of environments.
        generator: picks the starts; its state is all that a resumed training needs.
    """

    def __init__(self, pool: int, size: int, environments: int, generator: torch.Generator) -> None:
        if size > pool:
            raise ValueError(f"a batch of {size} episodes of an environment is larger than its pool, {pool}")
        self.starts, self.size, self.environments, self.generator = pool - size + 1, size, environments, generator

    def draw(self) -> list[slice]:
        """The run of episodes of each environment in the next batch, counted from the start of its pool."""
        starts = torch.randint(self.starts, (self.environments,), generator=self.generator).tolist()
        return [slice(start, start + self.size) for start in starts]

    def state(self) -> dict[str, Tensor]:
        """Everything that the next draws depend on."""
        return {"generator": self.generator.get_state()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue where :meth:`state` was taken."""
        self.generator.set_state(state["generator"])
