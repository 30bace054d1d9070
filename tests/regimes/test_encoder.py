"""The encoder knows the past alone, and starts where it is told to."""

import pytest
import torch

from praesidium.component import InputError
from praesidium.regimes.convolution import CausalConv
from praesidium.regimes.encoder import Encoder
from praesidium.regimes.units import CLIP, Standardizer
from praesidium.training.reproducibility import stream


def normals(*shape, purpose="encoder"):
    return torch.randn(*shape, generator=stream("tests", purpose))


def everywhere(batch, times):
    return torch.ones(batch, times, dtype=torch.bool)


@pytest.mark.parametrize("dilation", [1, 4])
@pytest.mark.parametrize("time", [0, 11, 29])
def test_the_future_cannot_move_a_bit_of_the_past(dilation, time):
    encoder, x = Encoder(5, 16, 8, 3, dilation=dilation), normals(4, 5, 40)
    changed = x.clone()
    changed[:, :, time + 1 :] += 10 * normals(4, 5, 39 - time, purpose="another future")
    before, after = encoder(x), encoder(changed)
    assert before.shape == (4, 3, 40)
    assert torch.equal(before[:, :, : time + 1], after[:, :, : time + 1])
    assert not torch.allclose(before[:, :, time + 1 :], after[:, :, time + 1 :])


@pytest.mark.parametrize("dilation", [1, 4])
def test_it_sees_as_far_back_as_it_says(dilation):
    encoder, x = Encoder(5, 16, 8, 3, dilation=dilation), normals(1, 5, 40).requires_grad_()
    encoder(x)[:, 0, 30].sum().backward()
    seen = x.grad.abs().sum((0, 1)).nonzero().squeeze(-1)
    assert (int(seen.min()), int(seen.max())) == (30 - 2 - 2 * dilation, 30)


def test_a_causal_convolution_is_the_sum_over_its_taps():
    conv, x = CausalConv(2, 3, stream("tests", "conv"), kernel=3, dilation=2), normals(1, 2, 9)
    padded = torch.cat([torch.zeros(1, 2, 4), x], dim=-1)
    for t in range(9):
        taps = padded[0, :, [t, t + 2, t + 4]]
        torch.testing.assert_close(conv(x)[0, :, t], conv.bias + (conv.weight * taps).sum((1, 2)))


def test_evidence_common_to_all_regimes_is_none():
    assert Encoder(5, 16, 8, 3)(normals(2, 5, 20)).sum(1).abs().max() < 1e-12


def test_values_depend_on_the_seed_alone():
    state = torch.get_rng_state()
    one, other, third = Encoder(5, 16, 8, 3, seed=1), Encoder(5, 16, 8, 3, seed=1), Encoder(5, 16, 8, 3, seed=2)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one.first.weight, other.first.weight)
    assert not torch.equal(one.first.weight, third.first.weight)


def test_scale_and_origin_of_the_data_do_not_matter_once_it_has_seen_them():
    x = normals(3, 5, 50).double()
    found = []
    for factor, origin in ((1, 0), (0.01, 7), (1e5, -3e5)):
        encoder = Encoder(5, 16, 8, 3)
        encoder.standardizer.fit(factor * x + origin, everywhere(3, 50))
        found.append(encoder(factor * x + origin))
    torch.testing.assert_close(found[1], found[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(found[2], found[0], atol=1e-5, rtol=0)


def test_the_standardizer_takes_moments_of_what_is_there():
    x = normals(2, 3, 40).double()
    x[0, 0, 5], x[1, :, 30:] = torch.nan, 1e9
    mask = everywhere(2, 40)
    mask[1, 30:] = False
    standardizer = Standardizer(3)
    standardizer.fit(x, mask)
    for channel in range(3):
        rows = torch.cat([x[0, channel], x[1, channel, :30]])
        rows = rows[~rows.isnan()]
        assert standardizer.mean[channel].item() == pytest.approx(rows.mean().item())
        assert standardizer.deviation[channel].item() == pytest.approx(rows.std(correction=0).item())
    z = standardizer(x)
    assert z[0, 0, 5] == 0
    assert z[1, :, 30:].unique().tolist() == [CLIP]


def test_a_channel_that_does_not_vary_is_left_as_it_is():
    x = torch.full((1, 1, 9), 0.3, dtype=torch.float64)
    standardizer = Standardizer(1)
    standardizer.fit(x, everywhere(1, 9))
    assert (standardizer(x).abs() < 1e-12).all()


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_channel_without_a_number_is_refused(value):
    x = normals(1, 2, 9)
    x[:, 1] = value
    with pytest.raises(InputError, match=r"columns \[1\]"):
        Standardizer(2).fit(x, everywhere(1, 9))


def test_the_last_layer_is_solved_for_normal_log_likelihood_ratios():
    """They are linear in x and x^2, both of which the last layer sees; the ridge costs little."""
    x = normals(2, 2, 400).double()
    mean, variance = torch.tensor([[0.3, 0.0], [0.0, 0.2], [-0.5, 0.1]]), torch.tensor([0.5, 1.0, 2.5]).unsqueeze(-1)
    wanted = -0.5 * ((x.mT.unsqueeze(-2) - mean).square() / variance + variance.log()).sum(-1)
    wanted = wanted - wanted.mean(-1, keepdim=True)
    encoder = Encoder(2, 16, 8, 3)
    encoder.standardizer.fit(x, everywhere(2, 400))
    encoder.solve(x, wanted, everywhere(2, 400))
    found = encoder(x).mT
    assert ((found - wanted).square().mean() / wanted.var()).item() < 1e-3


def test_regimes_can_be_renamed():
    encoder, x = Encoder(5, 16, 8, 3), normals(1, 5, 20)
    before, order = encoder(x), torch.tensor([2, 0, 1])
    encoder.permute(order)
    torch.testing.assert_close(encoder(x), before[:, order])
