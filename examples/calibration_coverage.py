"""How often the intervals of a Heston calibration cover the truth, on data simulated from known parameters.

Simulates series of daily returns that start in the stationary law, calibrates each, and prints for every parameter the
share of 95 % intervals that cover it. A hundred runs of 3,000 returns take about eight minutes of one core:

    OMP_NUM_THREADS=1 python examples/calibration_coverage.py --runs 100 --days 3000

The last line is JSON. The exit code is 1 if theta is covered in fewer than 90 % of the runs.
"""

import argparse
import json
import statistics
import sys
import time

import torch

from praesidium.markets.calibration.simulated_moments import fit_by_simulated_moments
from praesidium.markets.heston import Heston
from praesidium.training.reproducibility import stream

BEFORE = 1260  # days that the variance has to reach its stationary law
PROMISED = 0.9


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--days", type=int, default=3000)
    for name, value in {"theta": 0.04, "kappa": 4.0, "xi": 0.5, "rho": -0.6}.items():
        parser.add_argument(f"--{name}", type=float, default=value)
    given = parser.parse_args()
    truth = {name: getattr(given, name) for name in ("theta", "kappa", "xi", "rho")}

    torch.set_num_threads(1)
    market = Heston(**truth, v0=(given.theta, given.theta))
    covered: dict[str, list[bool]] = {name: [] for name in truth}
    lengths: dict[str, list[float]] = {name: [] for name in truth}
    identified: dict[str, list[bool]] = {name: [] for name in truth}
    seconds = []
    for run in range(given.runs):
        spot, _ = market.sample(
            paths=1,
            steps=BEFORE + given.days,
            dt=1 / 252,
            generator=stream("coverage", "data", run),
            dtype=torch.float64,
        )
        returns = spot[BEFORE:, 0].log().diff().numpy()
        begun = time.process_time()
        found = fit_by_simulated_moments(returns, dynamics="heston", generator=stream("coverage", "fit", run))
        seconds.append(time.process_time() - begun)
        for name, true in truth.items():
            one = found.estimates[name]
            covered[name].append(one.low <= true <= one.high)
            lengths[name].append(one.high - one.low)
            identified[name].append(one.identified)
        print(f"\r{run + 1} of {given.runs}", end="", file=sys.stderr, flush=True)

    print(file=sys.stderr)
    print(f"{'':8}{'truth':>8}{'covered':>9}{'identified':>12}{'median length':>15}")
    for name, true in truth.items():
        shares = (statistics.mean(covered[name]), statistics.mean(identified[name]))
        print(f"{name:8}{true:8g}{shares[0]:9.0%}{shares[1]:12.0%}{statistics.median(lengths[name]):15.3g}")
    print(f"{statistics.mean(seconds):.1f} s of CPU a fit, {max(seconds):.1f} s at most")
    shares = {f"{name}_covered": statistics.mean(one) for name, one in covered.items()}
    print(json.dumps({"runs": given.runs, "days": given.days, **shares, "seconds": statistics.mean(seconds)}))
    sys.exit(int(shares["theta_covered"] < PROMISED))


if __name__ == "__main__":
    main()
