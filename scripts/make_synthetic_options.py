"""Synthetic option quotes of a Heston market, as shipped with the package: never a record of any market.

The surface is made of them by: praesidium quotes synthetic_heston_options.csv --out synthetic_heston_surface.json
"""

import csv
import math
import sys
from datetime import date
from pathlib import Path

import torch

from praesidium.pricing import heston
from praesidium.pricing.implied_volatility import implied_volatility
from praesidium.training.reproducibility import stream

HESTON = {"theta": 0.018, "kappa": 3.0, "xi": 0.35, "rho": -0.7}
DAYS = {"2019-12-27": (301.37, 0.0108), "2019-12-30": (299.64, 0.0118), "2019-12-31": (300.52, 0.0115)}
MONTHLY = ("2020-01-17", "2020-02-21", "2020-03-20", "2020-04-17", "2020-06-19", "2020-09-18", "2020-12-18")
LADDERS = dict.fromkeys(MONTHLY, range(-11, 7)) | {"2020-01-03": range(-2, 2)}  # four strikes make no slice
HEADER = "date,expiry,strike,type,bid,ask,implied_volatility,volume,underlying,source"


def quotes(day: str, spot: float, variance: float) -> list[list]:
    """Calls and puts of a day, a quarter of a deviation apart, in pennies, with spreads that widen with the price."""
    rows, noise = [], stream("synthetic options", day)
    for expiry, ladder in LADDERS.items():
        step = 0.03 * math.sqrt((date.fromisoformat(expiry) - date(2019, 12, 31)).days / 365)
        tau = (date.fromisoformat(expiry) - date.fromisoformat(day)).days / 365
        K = torch.tensor([round(300 * math.exp(step * one)) for one in ladder], dtype=torch.float64)
        for right in ("call", "put"):
            fair = heston.price(torch.full_like(K, spot), K, tau, variance, right=right, **HESTON)
            implied = implied_volatility(fair, spot, K, tau, right=right)
            drawn = torch.rand(2, len(K), generator=noise, dtype=torch.float64)
            for strike, price, volatility, shift, traded in torch.stack([K, fair, implied, *drawn], 1).tolist():
                half = 0.01 + 0.004 * price
                sides = [f"{max(price + half * (side + 0.2 * shift - 0.1), 0):.2f}" for side in (-1, 1)]
                volume = int(1000 * traded**4)
                rows.append([day, expiry, f"{strike:g}", right, *sides, f"{volatility:.4f}", volume, spot, "synthetic"])
    return rows


def main(file: Path = Path("src/praesidium/data/synthetic_heston_options.csv")) -> None:
    """Three days, with bad quotes of each kind planted on the last one."""
    *earlier, last = days = [quotes(day, *now) for day, now in DAYS.items()]
    for row, bid, ask in ((5, "11.70", "11.61"), (20, "0.00", "0.15"), (90, "", "0.34"), (100, "1.18", "5.92")):
        last[row][4:6] = bid, ask  # crossed, one-sided twice, wide
    last[36][4:6], last[200][4:6] = (
        ("34.50", "34.70"),
        ("250.00", "251.00"),
    )  # below its intrinsic value, above its bound
    last[60][4:8] = earlier[0][60][4:8] = earlier[1][60][4:8]  # stale
    last += [last[30].copy(), [*last[30][:2], "0", *last[30][3:]], [last[30][0], "2019-12-20", *last[30][2:]]]
    with file.open("w", newline="") as opened:
        csv.writer(opened, lineterminator="\n").writerows([HEADER.split(","), *(row for day in days for row in day)])


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
