# %% [markdown]
# What looking ahead earns: one hidden Markov model, one index, one strategy, filtered and smoothed.
#
# Two regimes of S&P 500 returns, refitted every 126 days on the last 3,000; in the market unless the volatile regime is
# the more likely one; traded at 10 bp, at the close of the decision or a day later. `filtered` knows the days up to the
# decision. `smoothed` also knows those of its block that come after, which is what `predict_proba` of most packages
# returns, and what no one can trade on. Inside `deciding()`, where every backtest of this library runs, it is refused.
#
#     python examples/look_ahead.py

# %%
import numpy as np
import pandas as pd
import torch

from praesidium.component import InputError
from praesidium.data.prices import sp500
from praesidium.portfolio.ledger import run_ledger
from praesidium.portfolio.metrics import Track
from praesidium.regimes import GaussianHMM, deciding

torch.set_num_threads(1)
WINDOW, REFIT, COST, FIRST = 3000, 126, 0.001, "1998-03-05"

# %% The probability of the volatile regime at every close, both ways
index = sp500()
prices = pd.Series(index.close, index=index.dates)
returns = prices.pct_change().to_numpy()[1:]  # return i is known at close i + 1
first = int(np.searchsorted(prices.index, np.datetime64(FIRST)))
told = {way: np.full(len(prices), np.nan) for way in ("filtered", "smoothed")}
for start in range(first, len(prices), REFIT):
    past = returns[max(0, start - WINDOW) : start]
    seen = returns[max(0, start - WINDOW) : start + REFIT - 1]
    model = GaussianHMM(n_regimes=2).fit(past)
    block = slice(start, start + len(seen) - len(past) + 1)
    told["filtered"][block] = model.filter(seen)[len(past) - 1 :, 1]
    told["smoothed"][block] = model.smooth(seen)[len(past) - 1 :, 1]

# %% What each of them earns
print(f"{'':10s}{'traded':>16s}{'Sharpe':>8s}{'drawdown':>10s}{'CAGR':>8s}{'turnover':>10s}")
closes = prices.to_numpy()[first:, None]
for delay, when in ((0, "the same close"), (1, "a day later")):
    for way, volatile in told.items():
        exposure = (volatile[first:] < 0.5).astype(float)
        targets = np.where(np.diff(exposure, prepend=-1) != 0, exposure, np.nan)  # no trade where nothing changes
        book = run_ledger(closes, targets[:, None], cost_rate=COST, delay=delay)
        one = Track(book.returns, book.turnover)
        figures = f"{one.sharpe:8.2f}{-one.max_drawdown:10.1%}{one.cagr:8.1%}{one.turnover:10.1f}"
        print(f"{way:10s}{when:>16s}{figures}")

# %% Where decisions are made, the second way is refused
with deciding():
    try:
        model.smooth(returns)
    except InputError as refused:
        print(f"\n{refused}")
