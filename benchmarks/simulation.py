"""Speed of the simulated markets, beside pfhedge's generators of the same laws with the same parameters.

One process, one thread, single precision; 61 times of spot and, for Heston, of variance; medians of alternating
repeats. The terminal log prices of both sides are compared as well: only equal laws can be raced. Both Heston schemes
are quadratic-exponential; pfhedge's leaves the martingale correction out. Merton and Kou have pfhedge's default jumps,
more than one in a week, and the rare ones of this library's defaults. Rough Bergomi spans a year: pfhedge divides the
lags of its kernel by the number of periods in place of multiplying them by ``dt``, which is the law of the model where
both agree, and another anywhere else. The last line is JSON: ``NAME_ratio`` is ours over pfhedge's, the smallest over
the sizes, and ``heston`` alone has pfhedge's default parameters.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from praesidium.markets.brownian import GeometricBrownian
from praesidium.markets.heston import Heston
from praesidium.markets.jumps import Merton
from praesidium.markets.kou import Kou
from praesidium.markets.market import Market
from praesidium.markets.rough_bergomi import RoughBergomi
from praesidium.training.reproducibility import stream

try:
    from pfhedge.stochastic import (
        generate_geometric_brownian,
        generate_heston,
        generate_kou_jump,
        generate_merton_jump,
        generate_rough_bergomi,
    )
except ModuleNotFoundError as missing:
    print(
        f"{missing.name} is not installed; run: pip install tqdm psutil && pip install --no-deps pfhedge==0.23.0",
        file=sys.stderr,
    )
    sys.exit(2)

SIZES, STEPS, DT, REPEATS = (10_000, 50_000), 60, 1 / 250, 21
Z_LIMIT = 4.0  # standard errors within which 30 comparisons are as good as sure to stay


class Case(NamedTuple):
    """One law: this library's market, and pfhedge's generator with its parameters."""

    market: Market
    generate: Callable[..., Any]
    parameters: dict[str, float]
    dt: float = DT
    repeats: int = REPEATS


def heston(kappa: float, theta: float, xi: float, rho: float) -> Case:
    """The variance starts at its long-run mean; pfhedge calls its volatility sigma."""
    market = Heston(kappa=kappa, theta=theta, xi=xi, rho=rho, v0=(theta, theta))
    return Case(market, generate_heston, {"kappa": kappa, "theta": theta, "sigma": xi, "rho": rho})


def merton(volatility: float, intensity: float, mean: float, sd: float) -> Case:
    """Jumps by the year; both sides take their compensator off the drift."""
    base = GeometricBrownian(volatility=volatility)
    market = Merton(base=base, intensity=intensity, jump_mean=mean, jump_sd=sd)
    parameters = {"sigma": volatility, "jump_per_year": intensity, "jump_mean": mean, "jump_std": sd}
    return Case(market, generate_merton_jump, parameters)


def kou(volatility: float, intensity: float, p: float, mean_up: float, mean_down: float) -> Case:
    """Mean sizes of the log jumps, of which eta is one over; both sides take their compensator off the drift."""
    base = GeometricBrownian(volatility=volatility)
    market = Kou(base=base, intensity=intensity, up_probability=p, eta_up=1 / mean_up, eta_down=1 / mean_down)
    parameters = {"sigma": volatility, "jump_per_year": intensity, "jump_up_prob": p}
    return Case(
        market, generate_kou_jump, {**parameters, "jump_mean_up": mean_up, "jump_mean_down": mean_down}, repeats=5
    )


def rough_bergomi(xi: float, hurst: float, eta: float, rho: float) -> Case:
    """Over a year, where alone pfhedge has the law; its alpha is hurst - 1/2."""
    market = RoughBergomi(xi=xi, hurst=hurst, eta=eta, rho=rho)
    return Case(market, generate_rough_bergomi, {"xi": xi, "alpha": hurst - 0.5, "eta": eta, "rho": rho}, dt=1 / STEPS)


CASES = {
    "gbm": Case(GeometricBrownian(volatility=0.2), generate_geometric_brownian, {"sigma": 0.2}),
    "heston": heston(kappa=1.0, theta=0.04, xi=0.2, rho=-0.7),
    "heston_feller_violated": heston(kappa=1.0, theta=0.04, xi=0.6, rho=-0.7),
    "merton": merton(volatility=0.2, intensity=68.2, mean=0.0, sd=0.02),
    "merton_rare": merton(volatility=0.2, intensity=1.0, mean=-0.05, sd=0.04),
    "kou": kou(volatility=0.2, intensity=68.0, p=0.5, mean_up=0.02, mean_down=0.05),
    "kou_rare": kou(volatility=0.2, intensity=10.0, p=0.3, mean_up=0.02, mean_down=0.04),
    "rough_bergomi": rough_bergomi(xi=0.04, hurst=0.1, eta=1.9, rho=-0.9),
}


def compare(case: Case, paths: int) -> dict[str, float]:
    """Speeds of both sides in millions of path-steps a second, their ratio, and how far their laws are apart."""
    generator = stream("benchmarks", "simulation", paths)
    torch.manual_seed(paths)  # pfhedge draws from the global stream

    sides: dict[str, Callable[[], Any]] = {
        "ours": lambda: case.market.sample(
            paths=paths, steps=STEPS, dt=case.dt, generator=generator, dtype=torch.float32
        ),
        "pfhedge": lambda: case.generate(paths, STEPS + 1, dt=case.dt, dtype=torch.float32, **case.parameters),
    }
    last: dict[str, Callable[[Any], Tensor]] = {  # pfhedge's paths lie in rows; its Heston comes with the variance
        "ours": lambda made: made[0][-1],
        "pfhedge": lambda made: getattr(made, "spot", made)[:, -1],
    }
    times, ends = {name: [] for name in sides}, {name: [] for name in sides}
    for repeat in range(case.repeats + 1):
        for name, side in sides.items():
            begun = time.perf_counter()
            made = side()
            if repeat:
                times[name].append(time.perf_counter() - begun)
            ends[name].append(last[name](made).double().log())
            del made  # or the other side would pay for its release
    speeds = {name: paths * STEPS / statistics.median(seconds) / 1e6 for name, seconds in times.items()}
    mean_z, sd_z = apart(*(torch.cat(sample) for sample in ends.values()))
    ours, theirs = speeds["ours"], speeds["pfhedge"]
    return {"mps": ours, "pfhedge_mps": theirs, "ratio": ours / theirs, "mean_z": mean_z, "sd_z": sd_z}


def apart(first: Tensor, second: Tensor) -> tuple[float, float]:
    """Differences of mean and of standard deviation, in Monte Carlo standard errors."""
    means, mean_errors, sds, sd_errors = [], [], [], []
    for sample in (first, second):
        centered, sd = sample - sample.mean(), sample.std()
        means.append(sample.mean())
        mean_errors.append(sd.square() / len(sample))
        sds.append(sd)
        sd_errors.append((centered.pow(4).mean() - sd.pow(4)) / (4 * sd.square() * len(sample)))
    mean_z = (means[0] - means[1]) / (mean_errors[0] + mean_errors[1]).sqrt()
    return mean_z.item(), ((sds[0] - sds[1]) / (sd_errors[0] + sd_errors[1]).sqrt()).item()


def main() -> None:
    """Measure all cases and print them."""
    torch.set_num_threads(1)
    print(f"M path-steps/s, {STEPS} steps, float32, one thread; then z of mean and sd of log S_T, ours less pfhedge's")
    print(f"{'':24s}{'paths':>8s}{'ours':>9s}{'pfhedge':>9s}{'ratio':>8s}{'z mean':>8s}{'z sd':>7s}")
    rows: dict[str, dict[int, dict[str, float]]] = {name: {} for name in CASES}
    for name, case in CASES.items():
        for paths in SIZES:
            row = rows[name][paths] = compare(case, paths)
            speeds = f"{row['mps']:9.1f}{row['pfhedge_mps']:9.1f}{row['ratio']:8.2f}"
            print(f"{name:24s}{paths:8d}{speeds}{row['mean_z']:8.1f}{row['sd_z']:7.1f}", flush=True)
    least = {
        name: {key: min(row[key] for row in sizes.values()) for key in ("mps", "pfhedge_mps", "ratio")}
        for name, sizes in rows.items()
    }
    worst = max(abs(row[z]) for sizes in rows.values() for row in sizes.values() for z in ("mean_z", "sd_z"))
    verdict = "within" if worst < Z_LIMIT else "beyond"
    print(f"largest difference of the laws: {worst:.1f} standard errors, {verdict} {Z_LIMIT:g}")
    figures = {f"{name}_ratio": row["ratio"] for name, row in least.items()}
    figures |= {"heston_mps": least["heston"]["mps"], "pfhedge_heston_mps": least["heston"]["pfhedge_mps"]}
    print(json.dumps({**figures, "largest_z": worst, "same_law": worst < Z_LIMIT, "cases": rows}))


if __name__ == "__main__":
    main()
