"""Shapes are checked at every call while the tests run; small markets and states that many tests share."""

import jaxtyping

INT_IS_FLOAT = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
jaxtyping.install_import_hook("praesidium", INT_IS_FLOAT)

from dataclasses import replace  # noqa: E402

import pytest  # noqa: E402
import torch  # noqa: E402

from praesidium.experiments.study import register_members  # noqa: E402
from praesidium.hedging.liabilities.european_call import EuropeanCall  # noqa: E402
from praesidium.hedging.listed import Listed  # noqa: E402
from praesidium.hedging.rollout import Scene  # noqa: E402
from praesidium.hedging.state_builder import StateSettings  # noqa: E402
from praesidium.markets.heston import Heston  # noqa: E402
from praesidium.training.reproducibility import stream  # noqa: E402

torch.set_num_threads(1)
register_members()


def draw(name, paths=96, **market):
    return Heston(**market).simulate(
        paths=paths, horizon=60, lookback=20, generator=stream("tests", name), dtype=torch.float64
    )


@pytest.fixture(scope="session")
def calm():
    """Sixty days of low volatility after twenty of history, double precision."""
    return draw("calm", theta=0.02, v0=(0.01, 0.03))


@pytest.fixture(scope="session")
def wild():
    """As ``calm``, of high volatility."""
    return draw("wild", theta=0.25, kappa=3.0, xi=1.0, rho=-0.8, v0=(0.16, 0.36))


@pytest.fixture(scope="session")
def unseen():
    """A market beyond both."""
    return draw("unseen", theta=0.5, kappa=3.0, xi=1.5, rho=-0.9, v0=(0.5, 0.8))


@pytest.fixture(scope="session")
def builder(calm, wild):
    """Makes states of an at-the-money call; fitted on ``calm`` and ``wild``."""
    return StateSettings().fit([calm, wild], EuropeanCall())


@pytest.fixture(scope="session")
def scenes(builder, calm, wild):
    """Two training environments with different costs."""
    return [Scene.make(calm, builder, 5e-4, 0), Scene.make(wild, builder, 2e-3, 1)]


@pytest.fixture(scope="session")
def rewrite():
    """Gives paths another future: other prices and option volatilities after a time of the episode."""

    def rewritten(paths, time):
        spot, implied = paths.spot.clone(), paths.implied.clone()
        noise = torch.randn(spot.shape, dtype=spot.dtype, generator=stream("tests", "another future"))
        spot[paths.lookback + time + 1 :] *= (0.2 * noise[paths.lookback + time + 1 :]).exp()
        implied[time + 1 :] *= (0.5 * noise[paths.lookback + time + 1 :]).exp()
        return replace(paths, spot=spot, implied=implied)

    return rewritten


# ---- with listed options, and with interest -------------------------------------------------------------------------

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
