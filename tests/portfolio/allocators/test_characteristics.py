"""Trailing characteristics against pandas, and what they may know."""

import numpy as np
import pandas as pd
import torch

from praesidium.portfolio.characteristics import characteristics
from praesidium.training.reproducibility import stream


def returns(*shape):
    return 0.01 * torch.randn(*shape, dtype=torch.float64, generator=stream("tests", "characteristics"))


def test_windows_agree_with_pandas():
    x = returns(40, 3)
    found = characteristics(x, (5, 20))
    frame = pd.DataFrame(x.numpy())
    for place, window in enumerate((5, 20)):
        rolling = frame.rolling(window, min_periods=1)
        deviation = np.sqrt((frame**2).rolling(window, min_periods=1).mean())
        np.testing.assert_allclose(found[..., 2 * place], np.log(deviation), rtol=1e-9)
        momentum = rolling.sum() / deviation / np.sqrt(rolling.count())
        np.testing.assert_allclose(found[..., 2 * place + 1], momentum, atol=1e-9)


def test_the_future_cannot_move_the_past():
    x = returns(2, 30, 4)
    changed = x.clone()
    changed[:, 13:] *= -3
    assert torch.equal(characteristics(x, (4, 9))[:, :13], characteristics(changed, (4, 9))[:, :13])


def test_prices_that_stand_still_have_finite_characteristics():
    assert characteristics(torch.zeros(8, 2), (3,)).isfinite().all()
    assert characteristics(torch.zeros(8, 2), ()).shape == (8, 2, 0)
