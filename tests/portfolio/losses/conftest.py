"""Random books: weights of any sign and leverage, returns, beliefs and transition matrices."""

from types import SimpleNamespace

import pytest
import torch

from praesidium.training.reproducibility import stream


@pytest.fixture(scope="session")
def draw():
    """Makes a book of (batch, time, assets) with beliefs in ``regimes`` from a name."""

    def drawn(name, batch=3, time=12, assets=4, regimes=3, dtype=torch.float64):
        generator = stream("tests", "book", name)

        def normal(*shape):
            return torch.randn(*shape, dtype=torch.float64, generator=generator).to(dtype)

        return SimpleNamespace(
            weights=0.5 * normal(batch, time, assets),
            held=0.5 * normal(batch, assets),
            previous=0.5 * normal(batch, assets),
            returns=0.02 * normal(batch, time, assets),
            probs=(2 * normal(batch, time, regimes)).softmax(-1),
            transition=(normal(regimes, regimes) + 2 * torch.eye(regimes, dtype=dtype)).softmax(-1),
            targets=normal(regimes, assets),
        )

    return drawn
