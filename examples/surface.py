# %% [markdown]
# A volatility surface with planted arbitrage, and the nearest one without.
#
# Four maturities of SVI quotes with a little noise: the third is so flat to the left that it runs below the second one
# there, and the fourth has butterflies that cost less than nothing in its right wing. Both are found and mended; the
# figure goes to `docs/surface.png`. A few seconds:
#
#     python examples/surface.py

# %%
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from praesidium.pricing.arbitrage import from_quotes
from praesidium.pricing.svi import Slice
from praesidium.reporting.plots.surface import surface_figure
from praesidium.training.reproducibility import stream

NOISE = 0.001  # standard deviation of a quoted volatility
QUOTES = 15

# %% The slices, and what is wrong with them
PLANTED = (
    Slice(tau=0.25, a=0.0006, b=0.022, rho=-0.30, m=0.00, sigma=0.08),
    Slice(tau=0.50, a=0.0010, b=0.045, rho=-0.40, m=0.02, sigma=0.12),
    Slice(tau=0.75, a=0.0030, b=0.036, rho=-0.10, m=0.00, sigma=0.18),  # runs below the slice before, to the left
    Slice(tau=1.00, a=-0.0410, b=0.1331, rho=0.3060, m=0.3586, sigma=0.4153),  # the example of Axel Vogt
)

# %% Quotes
noise = NOISE * torch.randn(len(PLANTED), QUOTES, generator=stream("surface", "noise"), dtype=torch.float64).numpy()
rows = []
for one, errors in zip(PLANTED, noise, strict=True):
    k = np.linspace(-1.1, 1.1, QUOTES) * one.tau**0.5
    rows.append(pd.DataFrame({"tau": one.tau, "k": k, "volatility": one.volatility(k) + errors}))
quotes = pd.concat(rows, ignore_index=True)

# %% Fit, and clean
fitted, cleaned, reports = from_quotes(*(quotes[name].to_numpy() for name in ("tau", "k", "volatility")))

# %% What was moved: volatilities in percent
table = pd.DataFrame([vars(one) for one in reports])
table[["largest_move", "rms_move"]] *= 100
print(table.to_string(index=False, float_format="{:.4f}".format, formatters={"tau": "{:.2f}".format}, na_rep="-"))

# %% The figure
target = Path(__file__).parents[1] / "docs" / "surface.png"
print(f"\nwritten: {surface_figure(fitted, cleaned, quotes, target)}")
