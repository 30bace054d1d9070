"""One book of cash and holdings: trades at closing prices, costs, interest and drift."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from praesidium.component import InputError

DUST = 1e-12
"""A trade of a smaller share of wealth is rounding, and is not made."""


@dataclass(frozen=True, eq=False)
class Ledger:
    """What became of a sum of money, close by close.

    Every array has a row for each close; amounts are in the unit of ``capital``. Each close goes in this order:
    interest on the cash of the day before, holdings at the new price, trades, costs.

    Attributes:
        capital: cash before the first close.
        wealth: cash and holdings after the trades and costs of the close.
        cash: what is not invested, after trades and costs; below zero where it is borrowed.
        units: units of each asset held from this close to the next; below zero where they are sold short.
        trades: money spent on each asset at the close; below zero where it was sold.
        costs: paid at the close.
        interest: on the cash held since the close before; below zero where it was borrowed.
        weights: holdings over wealth after the trades of the close; they earn the return to the next close.
    """

    capital: float
    wealth: Float[np.ndarray, " times"]
    cash: Float[np.ndarray, " times"]
    units: Float[np.ndarray, "times assets"]
    trades: Float[np.ndarray, "times assets"]
    costs: Float[np.ndarray, " times"]
    interest: Float[np.ndarray, " times"]
    weights: Float[np.ndarray, "times assets"]

    @property
    def returns(self) -> Float[np.ndarray, " times"]:
        """Simple returns of wealth, net of costs; the first is over ``capital``, so that they compound to wealth."""
        return self.wealth / np.concatenate([[self.capital], self.wealth[:-1]]) - 1

    @property
    def turnover(self) -> Float[np.ndarray, " times"]:
        """Money bought and sold at each close over wealth before it: 1 for going all in, 1 for coming out again."""
        return np.abs(self.trades).sum(-1) / (self.wealth + self.costs)


def run_ledger(
    prices: Float[np.ndarray, "times assets"],
    targets: Float[np.ndarray, "times assets"],
    *,
    capital: float = 1.0,
    cost_rate: float | Float[np.ndarray, " assets"] = 0.0,
    fixed_cost: float = 0.0,
    rate: float = 0.0,
    delay: int = 1,
    periods: int = 252,
) -> Ledger:
    """Trade towards target weights and keep the book.

    wealth[T] = capital + gains of the holdings + interest - costs, to rounding. Targets are shares of wealth after
    costs: all of them are reached, costs included, without borrowing for the costs. A fee may move an asset off its
    target, which then trades and pays one too; where just that fee brings it back, the fee is put aside but not paid,
    and stays in cash. What targets leave free stays in cash; a sum above 1 borrows, a weight below 0 sells short.

    Args:
        prices: closing prices, above zero.
        targets: weights decided with what is known at each close; a row of NaN decides nothing and lets holdings drift.
        capital: cash before the first close.
        cost_rate: share of the traded value that a trade costs, one for all assets or one for each.
        fixed_cost: cost of each trade in an asset, in the unit of ``capital``.
        rate: interest on cash and on debt, effective over a year.
        delay: closes between decision and trade, fewer than there are: what close t decides is traded at close
            t + delay. 0 trades at the close that decided, and earns from there to the next.
        periods: closes a year.

    Raises:
        InputError: for targets of another shape than the prices, prices that are missing or not above zero, rows of
            targets that are NaN in part, terms or a delay out of bounds, or wealth that falls to zero or below.
    """
    _check_sizes(prices, targets, cost_rate, delay)
    rates = np.broadcast_to(np.asarray(cost_rate, dtype=np.float64), prices.shape[1:])
    executed = np.full(prices.shape, np.nan)
    executed[delay:] = targets[: len(prices) - delay]
    _check(prices, executed, rates, fixed_cost, capital, rate, delay, periods)
    growth = (1 + rate) ** (1 / periods)

    days = np.flatnonzero(~np.isnan(executed).any(-1))
    cash, units, last = float(capital), np.zeros(prices.shape[1]), 0
    trades, costs = np.zeros(prices.shape), np.zeros(len(prices))
    balances, books = [cash], [units]
    for day in days.tolist():
        cash *= growth ** (day - last)
        price, target = prices[day], executed[day]
        value = units * price
        wealth = cash + value.sum()
        _check_solvent(wealth, day)
        traded = target * _after_costs(wealth, target, value, rates, fixed_cost) - value
        traded[np.abs(traded) <= DUST * wealth] = 0.0
        costs[day] = rates @ np.abs(traded) + fixed_cost * np.count_nonzero(traded)
        cash -= traded.sum() + costs[day]
        units = units + traded / price
        trades[day], last = traded, day
        balances.append(cash)
        books.append(units)

    page = np.searchsorted(days, np.arange(len(prices)), side="right")
    since = np.arange(len(prices)) - np.concatenate([[0], days])[page]
    held, balance = np.stack(books)[page], np.array(balances)[page] * growth**since
    value = held * prices
    wealth = balance + value.sum(-1)
    for day in np.flatnonzero(wealth <= 0)[:1].tolist():
        _check_solvent(wealth[day], day)
    interest = np.concatenate([[0.0], balance[:-1] * (growth - 1)])
    return Ledger(float(capital), wealth, balance, held, trades, costs, interest, value / wealth[:, None])


def _after_costs(wealth: float, target: np.ndarray, value: np.ndarray, rates: np.ndarray, fixed_cost: float) -> float:
    """The wealth that is left when all targets are reached and the costs of getting there are paid.

    Fees leave less, which may ask for more trades: their number is counted anew until the fees cover it. It only
    rises, and so ends at one for each asset.
    """
    after, fees = float(wealth), -1
    while (trades := np.count_nonzero(np.abs(after * target - value) > DUST * wealth)) > fees:
        fees = trades
        after = _after_fees(wealth, wealth - fixed_cost * fees, target, value, rates)
    return after


def _after_fees(wealth: float, free: float, target: np.ndarray, value: np.ndarray, rates: np.ndarray) -> float:
    """The wealth W that is left when the holdings are W * target and the costs of getting there are paid.

    W + rates . |W target - value| = free, the wealth less fees, is convex, increasing and piecewise linear in W:
    Newton from above ends at the root after at most one step an asset and one more.
    """
    after = float(wealth)
    for _ in range(len(target) + 2):
        change = after * target - value
        gap = after + rates @ np.abs(change) - free
        if gap <= 1e-15 * wealth:
            break
        after -= float(gap / (1 + (rates * target) @ np.sign(change)))
    return after


def _check_solvent(wealth: float, day: int) -> None:
    if wealth <= 0:
        raise InputError(
            f"run_ledger: wealth falls to {wealth:.6g} by row {day}; borrow or sell short less, or trade more often"
        )


def _check_sizes(
    prices: np.ndarray, targets: np.ndarray, cost_rate: float | Float[np.ndarray, " rates"], delay: int
) -> None:
    if prices.ndim != 2 or targets.shape != prices.shape:
        raise InputError(
            f"run_ledger: targets have shape {targets.shape} and prices {prices.shape}; give both as (closes, assets)"
        )
    if np.shape(cost_rate) not in {(), prices.shape[1:]}:
        raise InputError(
            f"run_ledger: cost_rate has shape {np.shape(cost_rate)}; give one rate, or one for each of "
            f"{prices.shape[1]} assets"
        )
    if delay < 0:
        raise InputError(f"run_ledger: delay={delay} would trade before the decision; say 0 closes or more")
    if delay >= len(prices):
        raise InputError(f"run_ledger: delay={delay} trades after the last of {len(prices)} closes; say fewer closes")


def _check(
    prices: np.ndarray,
    executed: np.ndarray,
    rates: np.ndarray,
    fixed_cost: float,
    capital: float,
    rate: float,
    delay: int,
    periods: int,
) -> None:
    bad = np.argwhere(~(np.isfinite(prices) & (prices > 0)))
    if len(bad):
        day, asset = bad[0].tolist()
        raise InputError(
            f"run_ledger: {len(bad)} prices are missing or not above zero (first: row {day}, column {asset}); "
            "cut or fill them first"
        )
    missing = np.isnan(executed)
    part = np.flatnonzero(missing.any(-1) & ~missing.all(-1))
    if len(part):
        raise InputError(
            f"run_ledger: row {part[0] - delay} of targets is NaN in part; give every asset a weight, or none"
        )
    if np.isinf(executed).any():
        raise InputError("run_ledger: targets hold an infinite weight; every weight must be finite or NaN")
    if not 0 < capital < np.inf:
        raise InputError(f"run_ledger: capital={capital:g} is not a sum above zero; start with some money")
    if not -1 < rate < np.inf:
        raise InputError(f"run_ledger: rate={rate:g} is not a number above -1; for 5 % a year say rate=0.05")
    if not periods >= 1:
        raise InputError(f"run_ledger: periods={periods} is not a number of closes a year; say 252 for days")
    charged = np.append(rates, fixed_cost)
    if not ((charged >= 0) & np.isfinite(charged)).all():
        raise InputError(
            "run_ledger: cost_rate and fixed_cost must be numbers not below zero; for 10 bp say cost_rate=0.001"
        )
    if (np.nansum(rates * np.abs(executed), axis=-1) >= 1).any():
        raise InputError("run_ledger: costs eat the whole trade (cost_rate times the weights reaches 1); lower either")
