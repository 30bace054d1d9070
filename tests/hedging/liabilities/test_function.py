"""A payoff of one's own: found, checked, valued."""

import math
import sys
import types

import pytest
import torch

from praesidium.component import InputError, build
from praesidium.hedging.liabilities.european_call import EuropeanCall
from praesidium.hedging.liabilities.function import Function
from praesidium.hedging.liability import Liability

MODULE = "payoffs_of_the_test"


@pytest.fixture(scope="module", autouse=True)
def payoffs():
    module = types.ModuleType(MODULE)
    module.call = lambda price: (price - 1.05).clamp(min=0)
    module.total = lambda price: price.sum()
    module.number = lambda price: 1.0
    module.halved = lambda price: price.half()
    module.root = lambda price: (price - 0.5).sqrt()
    module.constant = 3.0
    sys.modules[MODULE] = module
    yield
    del sys.modules[MODULE]


def test_a_call_written_as_a_function_is_a_call(calm):
    own, call = Function(function=f"{MODULE}:call"), EuropeanCall(strike=1.05)
    some = calm.take(slice(0, 8)).carried(0.05, 0.02)
    at = own.conditions(some)
    assert torch.equal(own.payoff(some), call.payoff(some))
    torch.testing.assert_close(own.value(at), call.value(at), atol=1e-5, rtol=0)
    early = at.at(slice(0, 50))
    for found, exact, bound in zip(own.greeks(early)[:2], call.greeks(early)[:2], (1e-3, 0.1), strict=True):
        torch.testing.assert_close(found, exact, atol=bound, rtol=0)
    torch.testing.assert_close(own.vega(early), call.vega(early), atol=2e-4, rtol=0)


def test_the_log_contract_has_its_closed_form(calm):
    claim = Function()
    some = calm.take(slice(0, 8)).carried(0.05, 0.02)
    at = claim.conditions(some)
    forward = at.spot * torch.exp(0.03 * at.tau)
    exact = 2 * (forward - 1 - forward.log() + 0.5 * at.level**2 * at.tau) * torch.exp(-0.05 * at.tau)
    torch.testing.assert_close(claim.value(at), exact, atol=1e-10, rtol=0)
    delta = 2 * (math.e ** (0.03 * at.tau) - 1 / at.spot) * torch.exp(-0.05 * at.tau)
    torch.testing.assert_close(claim.greeks(at).delta[:-1], delta[:-1], atol=1e-8, rtol=0)


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        ("call", "'call' names no function; write module:name"),
        ("no_such_module:call", "'no_such_module' cannot be imported"),
        (f"{MODULE}:put", f"'{MODULE}' has no function 'put'"),
        (f"{MODULE}:constant", f"'{MODULE}' has no function 'constant'"),
        (f"{MODULE}:total", r"gives \(\) of torch.float32 for prices \(6,\)"),
        (f"{MODULE}:number", r"gives 1.0 for prices \(6,\)"),
        (f"{MODULE}:halved", r"gives \(6,\) of torch.float16 for prices \(6,\) of torch.float32"),
        (f"{MODULE}:root", "is not finite at the price 0.01"),
    ],
)
def test_what_is_no_payoff_is_refused(function, sentence):
    with pytest.raises(InputError, match=sentence):
        build(Liability, {"kind": "function", "function": function})
