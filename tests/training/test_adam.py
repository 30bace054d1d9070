"""Adam on many rows: what PyTorch's takes one optimizer a row for."""

import pytest
import torch

from praesidium.training.adam import Adam
from praesidium.training.reproducibility import stream
from praesidium.training.schedule import cosine

RATES, DECAYS = [1e-3, 0.1, 0.02, 0.5], [0.0, 0.1, 1.0, 0.01]
PRECISIONS = pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])


def numbers(purpose, *shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=stream("tests", "adam", purpose))


def column(row, values):
    return values.new_tensor(row).unsqueeze(1)


def moved(adam, values, gradients, rates=RATES, decays=DECAYS):
    """The values after as many steps as there are gradients, along a cosine of the rates."""
    for step, gradient in enumerate(gradients):
        factor = cosine(step, len(gradients))
        adam.step(values, gradient, factor * column(rates, values), column(decays, values))
    return values


@PRECISIONS
def test_every_row_moves_as_with_an_optimizer_of_its_own(dtype, tolerance):
    start, gradients = numbers("start", 4, 7, dtype=dtype), numbers("gradients", 50, 4, 7, dtype=dtype)
    gradients *= torch.tensor([1e-6, 1.0, 1e3, 0.1]).to(dtype).unsqueeze(1)  # rows of every size
    together = moved(Adam(start), start.clone(), gradients)
    for row, (rate, decay) in enumerate(zip(RATES, DECAYS, strict=True)):
        alone = start[row].clone().requires_grad_()
        optimizer = torch.optim.AdamW([alone], weight_decay=decay)
        for step, gradient in enumerate(gradients[:, row]):
            optimizer.param_groups[0]["lr"] = rate * cosine(step, 50)
            alone.grad = gradient.clone()
            optimizer.step()
        torch.testing.assert_close(together[row], alone.detach(), rtol=tolerance, atol=tolerance)


def test_rows_that_have_come_differently_far_go_on_together():
    start, gradients = numbers("start", 2, 3), numbers("gradients", 12, 2, 3)
    rate, decay = column(RATES[1:3], start), column(DECAYS[1:3], start)
    alone, values = [Adam(start[:1]), Adam(start[1:])], [start[:1].clone(), start[1:].clone()]

    def step(row, gradient):
        alone[row].step(values[row], gradient[row, None], rate[row, None], decay[row, None])

    for gradient in gradients[:5]:
        step(0, gradient)  # the other has not begun
    both, joined = Adam(start), torch.cat(values)
    for name in ("mean", "square", "steps"):
        setattr(both, name, torch.cat([getattr(one, name) for one in alone]))
    for gradient in gradients[5:]:
        both.step(joined, gradient, rate, decay)
        step(0, gradient)
        step(1, gradient)
    torch.testing.assert_close(joined, torch.cat(values), rtol=1e-14, atol=1e-14)


def test_without_a_gradient_only_the_decay_moves():
    start = numbers("start", 4, 7)
    still = moved(Adam(start), start.clone(), torch.zeros(10, 4, 7, dtype=torch.float64), decays=[0.0] * 4)
    assert torch.equal(still, start)
    shrunk = moved(Adam(start), start.clone(), torch.zeros(1, 4, 7, dtype=torch.float64))
    expected = [1 - rate * decay for rate, decay in zip(RATES, DECAYS, strict=True)]
    torch.testing.assert_close(shrunk, start * column(expected, start), rtol=1e-15, atol=0)


def test_a_row_that_is_no_number_stays_alone():
    start, gradients = numbers("start", 4, 7), numbers("gradients", 10, 4, 7)
    spoiled = gradients.clone()
    spoiled[3, 1] = float("nan")
    whole, broken = (moved(Adam(start), start.clone(), each) for each in (gradients, spoiled))
    assert broken[1].isnan().all()
    assert torch.equal(whole[[0, 2, 3]], broken[[0, 2, 3]])
