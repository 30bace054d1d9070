"""States with a view of the regime, for networks that look at it."""

import pytest
import torch

from praesidium.hedging.liabilities.european_call import EuropeanCall
from praesidium.hedging.regime_view import RegimeView
from praesidium.hedging.state_builder import StateSettings
from praesidium.training.reproducibility import stream

REGIMES = RegimeView(n_regimes=3, paths=32)


@pytest.fixture(scope="session")
def builder(calm, wild):
    """As in all other folders, with three regimes."""
    return StateSettings(regimes=REGIMES).fit([calm, wild], EuropeanCall())


@pytest.fixture(scope="session")
def revaluer(calm, wild):
    """The same for rules that value the claim anew."""
    return StateSettings(regimes=REGIMES, revalue=True).fit([calm, wild], EuropeanCall())


@pytest.fixture(scope="session")
def untied():
    """Moves a hedger away from its start, so that everything that can matter does."""

    def moved(hedger):
        with torch.no_grad():
            for one in hedger.parameters():
                one.add_(0.3 * torch.randn(one.shape, generator=stream("tests", "away", *one.shape)))
        return hedger

    return moved
