"""Results folders without a run: settings and final metrics as a run would leave them."""

import json

import pytest
import yaml

from praesidium.reporting.tables import MEASURES

TRAIN, STRESS = ("low", "mid"), ("high", "crisis")


@pytest.fixture
def leave_run(tmp_path):
    """Leaves a run in ``folder``, with a CVaR-95 for each environment; further metrics by their names."""

    def left(method, seed, risks, *, dataset="toy", folder=None, done=True, more=None, error=0.001, **settings):
        place = (folder or tmp_path) / dataset / method / f"seed_{seed}"
        place.mkdir(parents=True)
        data = {"train": list(TRAIN), "validation": ["high"], "test": ["crisis"]} | settings.pop("data", {})
        state = {"phi": ["delta", "tau"], "context": ["momentum"]}
        names = {"dataset": dataset, "method": method, "seed": seed}
        (place / "config.yaml").write_text(yaml.safe_dump({**names, "data": data, "state": state, **settings}))
        if not done:
            return place
        metrics = {}
        for name, risk in risks.items():
            metrics |= {f"metrics/{measure}/{name}": 2 * risk for measure in MEASURES}
            metrics |= {f"metrics/cvar95/{name}": risk, f"metrics/cvar95_se/{name}": error}
        (place / "final_metrics.json").write_text(json.dumps(metrics | (more or {})))
        return place

    return left


@pytest.fixture
def risks():
    """By environment: training ones at a percent, and these."""

    def of(high, crisis, **windows):
        return {**dict.fromkeys(TRAIN, 0.01), **dict(zip(STRESS, (high, crisis), strict=True)), **windows}

    return of
