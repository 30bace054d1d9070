"""Long short-term memory, made of dense layers so that replicas can be stacked."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from praesidium.policies.layers import Dense

KEPT = 1.0  # added to the forget gate's input, so that a new network remembers about four times as long


class Memory(nn.Module):
    """h_t of inputs up to t: c_t = f c_{t-1} + i g, h_t = o tanh c_t, from c = h = 0.

    i, f, o = sigmoid and g = tanh of affine maps of x_t and h_{t-1}, f with one added.

    Source: Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000, whose first bias is one as in
    Jozefowicz et al. 2015.
    """

    def __init__(self, inputs: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.width = width
        self.entering = Dense(inputs, 4 * width, generator)
        self.recurrent = Dense(width, 4 * width, generator)

    def forward(self, x: Float[Tensor, "times *batch inputs"]) -> Float[Tensor, "times *batch width"]:
        """The state after each time."""
        prepared = self.entering(x)
        hidden = cell = x.new_zeros(*x.shape[1:-1], self.width)
        states = []
        for now in prepared:
            forget, let_in, let_out, new = (now + self.recurrent(hidden)).chunk(4, dim=-1)
            cell = torch.sigmoid(forget + KEPT) * cell + torch.sigmoid(let_in) * torch.tanh(new)
            hidden = torch.sigmoid(let_out) * torch.tanh(cell)
            states.append(hidden)
        return torch.stack(states)
