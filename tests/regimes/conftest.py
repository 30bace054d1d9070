"""Data that tests of several modules learn from."""

import pytest
import torch

from praesidium.training.reproducibility import stream


@pytest.fixture(scope="session")
def clockwork():
    """Sequences of three regimes that last 6 to 12 periods, each as likely: the hazard rises from 0 to 1."""

    def made(batch, time):
        draws = stream("tests", "clockwork")
        runs = time // 6 + 2
        lasts = torch.randint(6, 13, (batch, runs), generator=draws)
        regimes = torch.randint(1, 3, (batch, runs), generator=draws).cumsum(1) % 3
        both = zip(regimes, lasts, strict=True)
        return torch.stack([regime.repeat_interleave(last)[6 : time + 6] for regime, last in both])

    return made
