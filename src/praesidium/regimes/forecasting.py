"""Regimes several periods ahead."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn

from praesidium.component import InputError
from praesidium.regimes.belief import last_of
from praesidium.regimes.corrected import IMPOSSIBLE, Corrected
from praesidium.regimes.hmm import forecast
from praesidium.regimes.tilt import KINDS, Tilt, history


class ForwardTransitionPredictor(Corrected):
    """Distribution of the regime 1, 2, .. n_steps periods ahead, from filtered probabilities.

    P(z_{t+s} = j) is proportional to (p_t A^s)_j exp g_sj(past): the free forecast of a Markov chain, tilted by the
    past of the probabilities (:func:`.tilt.history`). The tilt g is zero until :meth:`fit`, and after it as well if it
    does not beat p A^s on held-out periods. What the chain calls impossible stays impossible.

    Causal: the forecast at t depends on probabilities up to t only. Double precision.

    Args:
        K: number of regimes.
        n_steps: periods ahead.
        hidden_dim: hidden units of the tilt.
        transition: A, (K, K). None: estimated in :meth:`fit`; before it every move is as likely as any other.
        random_state: seed of the initial values.

    Attributes:
        scores_: log scores of the tilted and of the free forecast on held-out periods, mean over the steps.
    """

    def __init__(
        self,
        K: int,
        n_steps: int,
        hidden_dim: int = 32,
        *,
        transition: Float[Tensor, "regimes regimes"] | None = None,
        random_state: int = 0,
    ) -> None:
        if n_steps < 1:
            raise InputError(f"ForwardTransitionPredictor: n_steps={n_steps} is not a positive number of periods")
        tilt = Tilt(KINDS * K, hidden_dim, n_steps * K, purpose="forecast", random_state=random_state)
        super().__init__(K, tilt, transition, baseline="p A^h")
        self.n_steps = n_steps

    def forward(
        self, probabilities: Float[Tensor, "batch time regimes"], *, lengths: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch steps regimes"]:
        """Forecasts after the last period of each sequence.

        Raises:
            InputError: probabilities that are not (batch, time, K).
        """
        return last_of(self.forecasts(probabilities, lengths=lengths), lengths)

    def forecasts(
        self, probabilities: Float[Tensor, "batch time regimes"], *, lengths: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch time steps regimes"]:
        """The same after every period; what it says past ``lengths`` means nothing."""
        belief = self._belief(probabilities, lengths)
        return self._tilted(forecast(belief, self.transition, steps=self.n_steps), history(belief, self.transition))

    def fit(
        self,
        probabilities: Float[Tensor, "batch time regimes"],
        states: Int[Tensor, "batch time"] | None = None,
        *,
        lengths: Int[Tensor, " batch"] | None = None,
        max_steps: int = 500,
    ) -> ForwardTransitionPredictor:
        """Maximize the log score of the regimes that came, mean over the steps ahead.

        The first 60 % of the periods, sequence after sequence, train, the next 20 % stop, the last 20 % judge; put
        sequences in order of time, and let them not overlap.

        Args:
            probabilities: filtered.
            states: labels 0 .. K - 1, -1 where unknown. None: the later filtered probabilities, as outcomes in
                shares (of a filter that is calibrated they have the same mean as the regimes).
            lengths: valid periods of each sequence.
            max_steps: most steps of the optimizer.

        Raises:
            InputError: shapes that do not fit, or fewer than 100 periods whose next ``n_steps`` labels are known.
        """
        belief, windows, usable, parts = self._ahead(probabilities, states, lengths, self.n_steps)
        steps = usable.shape[1]
        if states is None:
            outcomes = belief.unfold(1, self.n_steps + 1, 1).mT[usable]
        else:
            outcomes = nn.functional.one_hot(windows, self.K).to(belief.dtype)
        self._learn_chain(outcomes[parts.training, 0], outcomes[parts.training, 1])
        free = forecast(belief[:, :steps], self.transition, steps=self.n_steps)[usable]
        features = history(belief, self.transition)[:, :steps][usable]

        def losses(places: Int[Tensor, " places"]) -> Float[Tensor, " places"]:
            ahead = self._tilted(free[places], features[places]).clamp(min=IMPOSSIBLE).log()
            return -(outcomes[places, 1:] * ahead).sum(-1).mean(-1)

        self._learn(features, losses, parts, max_steps)
        return self

    def _tilted(
        self, free: Float[Tensor, "*batch steps regimes"], features: Float[Tensor, "*batch features"]
    ) -> Float[Tensor, "*batch steps regimes"]:
        tilt = self.tilt(features).view(free.shape)
        weight = (tilt - tilt.amax(-1, keepdim=True)).exp()
        return free * weight / (free * weight).sum(-1, keepdim=True)
