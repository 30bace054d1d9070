"""A payoff of one's own."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import cast

import torch
from jaxtyping import Float
from pydantic import field_validator
from torch import Tensor

from praesidium.component import InputError
from praesidium.hedging.conditions import Conditions, Greeks
from praesidium.hedging.liability import Liability
from praesidium.markets.paths import Paths
from praesidium.pricing.quadrature import Valuation, expectation, valuation


def log_contract(price: Tensor) -> Tensor:
    """2 (S_T - 1 - log S_T): hedged by the spot it pays the realized variance."""
    return 2 * (price - 1 - torch.log(price))


class Function(Liability, kind="function"):
    """f(S_T), with f any function of the last price, element by element, in units of the spot at inception.

    Valued by quadrature under the lognormal law at the volatility at the money, whatever the smile; kinks and jumps
    are welcome, and Greeks never differentiate f. See :mod:`praesidium.pricing.quadrature` for the accuracy, which is
    best where they are at the price 1.

    Attributes:
        function: ``module:name`` of f. It takes prices of any shape, near zero and far above 1 as well, and returns
            finite numbers of the same shape and precision.
    """

    function: str = "praesidium.hedging.liabilities.function:log_contract"

    @field_validator("function")
    @classmethod
    def _usable(cls, function: str) -> str:
        paid = _found(function)
        for prices in (torch.linspace(0.01, 10.0, 6), torch.linspace(0.5, 2.0, 6, dtype=torch.float64).view(2, 3)):
            values = paid(prices)
            if not isinstance(values, Tensor) or values.shape != prices.shape or values.dtype != prices.dtype:
                got = f"{tuple(values.shape)} of {values.dtype}" if isinstance(values, Tensor) else f"{values!r}"
                raise InputError(
                    f"{function} gives {got} for prices {tuple(prices.shape)} of {prices.dtype}; "
                    "return one number for each price, in its precision"
                )
            if not values.isfinite().all():
                at = prices[~values.isfinite()][0].item()
                raise InputError(f"{function} is not finite at the price {at:g}; give every positive price a payoff")
        return function

    def payoff(self, paths: Paths) -> Float[Tensor, " paths"]:
        return _found(self.function)(paths.episode[-1])

    def value(self, at: Conditions) -> Tensor:
        carry = {"rate": at.rate, "dividend": at.dividend}
        return expectation(_found(self.function), at.spot, at.tau, at.level, **carry)

    def greeks(self, at: Conditions) -> Greeks:
        found = self._valued(at)
        return Greeks(found.delta, found.gamma)

    def vega(self, at: Conditions) -> Tensor:
        return self._valued(at).vega

    def log_moneyness(self, spot: Tensor) -> Tensor:
        """Of the spot at inception: a payoff need not have a strike."""
        return torch.log(spot)

    def _valued(self, at: Conditions) -> Valuation:
        carry = {"rate": at.rate, "dividend": at.dividend}
        return valuation(_found(self.function), at.spot, at.tau, at.level, **carry)


def _found(function: str) -> Callable[[Tensor], Tensor]:
    module, colon, name = function.partition(":")
    if not (module and colon and name):
        raise InputError(f"{function!r} names no function; write module:name, such as my_payoffs:capped")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError as error:
        raise InputError(f"{module!r} cannot be imported ({error}); is it on the path?") from None
    if not callable(found):
        raise InputError(f"{module!r} has no function {name!r}; write module:name, such as my_payoffs:capped")
    return cast(Callable[[Tensor], Tensor], found)
