"""A market with listed options, and one with interest."""

from dataclasses import replace

import pytest
import torch

from praesidium.hedging.liabilities.european_call import EuropeanCall
from praesidium.hedging.listed import Listed
from praesidium.hedging.state_builder import StateSettings
from praesidium.markets.heston import Heston
from praesidium.training.reproducibility import stream

HORIZON = 30
NEAR, FAR = Listed(right="put", moneyness=0.95, days=12, cost_multiple=20), Listed(days=45, cost_multiple=10)
STRESSED = Heston(theta=0.25, kappa=3.0, xi=1.0, rho=-0.8, v0=(0.09, 0.36))


def drawn(name, paths=64, **carry):
    left = [list(range(HORIZON, -1, -1)), NEAR.days_left(HORIZON), FAR.days_left(HORIZON)]
    made = STRESSED.simulate(
        paths=paths, horizon=HORIZON, lookback=20, generator=stream("tests", name), left=left, dtype=torch.float64
    )
    return made.carried(**carry) if carry else made


@pytest.fixture(scope="session")
def optioned():
    """Paths with marks of a call of thirty days, of puts of twelve and of a call of forty-five."""
    return drawn("optioned")


@pytest.fixture(scope="session")
def carried():
    """The same kind in a world of interest and dividends."""
    return drawn("carried", rate=0.05, dividend=0.02)


@pytest.fixture(scope="session")
def trader(optioned):
    """Makes states with the spot and both options."""
    return StateSettings().fit([optioned], EuropeanCall(), (NEAR, FAR))


@pytest.fixture(scope="session")
def future():
    """Gives paths another future, of all that they carry."""

    def rewritten(paths, time):
        spot, implied, listed = paths.spot.clone(), paths.implied.clone(), paths.listed.clone()
        noise = torch.randn(spot.shape, dtype=spot.dtype, generator=stream("tests", "another future"))
        late = noise[paths.lookback + time + 1 :]
        spot[paths.lookback + time + 1 :] *= (0.2 * late).exp()
        implied[time + 1 :] *= (0.5 * late).exp()
        listed[:, time + 1 :] *= (0.3 * late).exp()
        return replace(paths, spot=spot, implied=implied, listed=listed)

    return rewritten
