"""Will the regime change soon?"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from praesidium.component import InputError
from praesidium.regimes.belief import last_of
from praesidium.regimes.corrected import IMPOSSIBLE, Corrected
from praesidium.regimes.hmm import survival
from praesidium.regimes.tilt import KINDS, Tilt, history, tilt_odds


class RegimeChangeDetector(Corrected):
    """Probability that the regime of period t is left at least once within the periods t + 1 .. t + horizon.

    c / (1 - c) = c_0 / (1 - c_0) exp g(past), with the free forecast c_0 = 1 - sum_k p_t(k) A_kk^horizon of a Markov
    chain, and a correction g of the past of the probabilities (:func:`.tilt.history`) that is zero until :meth:`fit`,
    and after it as well if it does not beat c_0 on held-out periods. A chain that never moves gives 0.

    Causal: probability t depends on filtered probabilities up to t only. Double precision.

    Args:
        K: number of regimes.
        hidden_dim: hidden units of the correction.
        horizon: periods ahead.
        transition: A, (K, K). None: estimated in :meth:`fit`; before it every move is as likely as any other.
        random_state: seed of the initial values.

    Attributes:
        scores_: log scores of the detector and of c_0 on held-out periods.
    """

    def __init__(
        self,
        K: int,
        hidden_dim: int = 32,
        *,
        horizon: int = 1,
        transition: Float[Tensor, "regimes regimes"] | None = None,
        random_state: int = 0,
    ) -> None:
        if horizon < 1:
            raise InputError(f"RegimeChangeDetector: horizon={horizon} is not a positive number of periods")
        tilt = Tilt(KINDS * K, hidden_dim, 1, purpose="change", random_state=random_state)
        super().__init__(K, tilt, transition, baseline=f"1 - sum_k p_k A_kk^{horizon}")
        self.horizon = horizon

    def forward(
        self, probabilities: Float[Tensor, "batch time regimes"], *, lengths: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch 1"]:
        """Probability of a change within the horizon after the last period of each sequence.

        Raises:
            InputError: probabilities that are not (batch, time, K).
        """
        return last_of(self.probabilities(probabilities, lengths=lengths), lengths).unsqueeze(-1)

    def probabilities(
        self, probabilities: Float[Tensor, "batch time regimes"], *, lengths: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch time"]:
        """The same after every period; what it says past ``lengths`` means nothing."""
        belief = self._belief(probabilities, lengths)
        return tilt_odds(self._free(belief), self.tilt(history(belief, self.transition)).squeeze(-1))

    def fit(
        self,
        probabilities: Float[Tensor, "batch time regimes"],
        states: Int[Tensor, "batch time"] | None = None,
        *,
        lengths: Int[Tensor, " batch"] | None = None,
        max_steps: int = 500,
    ) -> RegimeChangeDetector:
        """Maximize the log score of what happened: whether the labels changed.

        The first 60 % of the periods, sequence after sequence, train, the next 20 % stop, the last 20 % judge; put
        sequences in order of time, and let them not overlap.

        Args:
            probabilities: filtered.
            states: labels 0 .. K - 1, -1 where unknown. None: the most probable regime of each period.
            lengths: valid periods of each sequence.
            max_steps: most steps of the optimizer.

        Raises:
            InputError: shapes that do not fit, or fewer than 100 periods whose next ``horizon`` labels are known.
        """
        belief, windows, usable, parts = self._ahead(probabilities, states, lengths, self.horizon)
        moves = nn.functional.one_hot(windows[parts.training, :2], self.K).to(belief.dtype)
        self._learn_chain(moves[:, 0], moves[:, 1])
        steps = usable.shape[1]
        changed = (windows[:, 1:] != windows[:, :1]).any(-1)
        features = history(belief, self.transition)[:, :steps][usable]
        free = self._free(belief)[:, :steps][usable]

        def losses(places: Int[Tensor, " places"]) -> Float[Tensor, " places"]:
            change = tilt_odds(free[places], self.tilt(features[places]).squeeze(-1))
            return -torch.where(changed[places], change, 1 - change).clamp(min=IMPOSSIBLE).log()

        self._learn(features, losses, parts, max_steps)
        return self

    def _free(self, belief: Float[Tensor, "batch time regimes"]) -> Float[Tensor, "batch time"]:
        return (belief * (1 - survival(self.transition, steps=self.horizon))).sum(-1)
