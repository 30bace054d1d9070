"""How long the regime will last."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from praesidium.component import InputError
from praesidium.regimes.belief import MISSING, carried_on, check_labels, check_transition, last_of, within
from praesidium.regimes.corrected import IMPOSSIBLE, Corrected
from praesidium.regimes.held_out import parts_of
from praesidium.regimes.tilt import Tilt, tilt_odds


class RegimePersistenceModel(Corrected):
    """Expected number of periods until the regime of now is left: days, if the periods are days.

    A chain leaves regime k with hazard 1 - A_kk a period whatever its age, so that sum_k p_k / (1 - A_kk) periods are
    expected: 143 for A_kk = 0.993. :meth:`fit` learns how the odds of that hazard move with the age a of the run,
    h / (1 - h) = (1 - A_kk) / A_kk exp g_k(a). Then E_k(a) = 1 + (1 - h_k(a)) E_k(a + 1), and the answer is the mean of
    E_k(a) over regimes and ages given the filtered probabilities. g is zero until :meth:`fit`, and after it as well if
    it does not beat the constant hazard on held-out periods. Beyond the oldest run seen in training g stays as it is
    there. The age at the first period of a sequence is taken to be one.

    Causal. Double precision. Infinite for a regime that is never left.

    Args:
        K: number of regimes.
        hidden_dim: hidden units of g.
        transition: A, (K, K). None: estimated in :meth:`fit`; before it every move is as likely as any other.
        random_state: seed of the initial values.

    Attributes:
        scores_: log scores, on held-out periods, of whether the run ended: learned and constant hazard.
    """

    oldest: Tensor

    def __init__(
        self,
        K: int,
        hidden_dim: int = 16,
        *,
        transition: Float[Tensor, "regimes regimes"] | None = None,
        random_state: int = 0,
    ) -> None:
        tilt = Tilt(2, hidden_dim, K, purpose="persistence", random_state=random_state)
        super().__init__(K, tilt, transition, baseline="sum_k p_k / (1 - A_kk)")
        self.register_buffer("oldest", torch.tensor(1))

    def forward(
        self,
        probabilities: Float[Tensor, "batch time regimes"],
        transition: Float[Tensor, "*chains states states"] | None = None,
        *,
        lengths: Int[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "batch 1"]:
        """Expected periods until a change, after the last period of each sequence.

        Args:
            probabilities: filtered.
            transition: A to go by, (K, K) or one for each sequence; None: the model's own.
            lengths: valid periods of each sequence.

        Raises:
            InputError: probabilities that are not (batch, time, K), rows of A that do not sum to one, or another A for
                each period.
        """
        return last_of(self.durations(probabilities, transition, lengths=lengths), lengths).unsqueeze(-1)

    def durations(
        self,
        probabilities: Float[Tensor, "batch time regimes"],
        transition: Float[Tensor, "*chains states states"] | None = None,
        *,
        lengths: Int[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "batch time"]:
        """The same after every period; what it says past ``lengths`` means nothing."""
        belief = self._belief(probabilities, lengths)
        chain = self.transition if transition is None else transition.to(belief.dtype)
        check_transition("RegimePersistenceModel", chain, self.K)
        if chain.ndim > 3 or (chain.ndim == 3 and len(chain) not in (1, len(belief))):
            raise InputError(
                f"RegimePersistenceModel: transition has shape {tuple(chain.shape)}; wanted is one chain, or one for "
                f"each of the {len(belief)} sequences; of those by period take the last, transition[:, -1]"
            )
        expected = self.expected(chain).expand(len(belief), -1, -1)
        share = carried_on(belief, chain)
        ages = nn.functional.pad(torch.ones_like(belief[:, 0]).unsqueeze(-1), (0, expected.shape[-1] - 1))
        durations = [_mean(belief[:, 0].unsqueeze(-1) * ages, expected)]
        for now, stayed in zip(belief.unbind(1)[1:], share.unsqueeze(-1).unbind(1), strict=True):
            older = stayed * ages
            ages = torch.cat([1 - stayed, older[..., :-1]], dim=-1)
            ages = torch.cat([ages[..., :-1], ages[..., -1:] + older[..., -1:]], dim=-1)
            durations.append(_mean(now.unsqueeze(-1) * ages, expected))
        return torch.stack(durations, dim=-1)

    def hazard(self, transition: Float[Tensor, "*batch regimes regimes"]) -> Float[Tensor, "*batch regimes ages"]:
        """Probability that a run of age 1, 2, .. ends at the next period; the last age stands for all older ones."""
        ages = torch.arange(1, int(self.oldest) + 1, device=transition.device)
        tilt = self.tilt(_age_features(ages)).T
        leaves = 1 - transition.diagonal(dim1=-2, dim2=-1)
        return tilt_odds(leaves.unsqueeze(-1).expand(*leaves.shape, len(ages)), tilt.expand(*leaves.shape, len(ages)))

    def expected(self, transition: Float[Tensor, "*batch regimes regimes"]) -> Float[Tensor, "*batch regimes ages"]:
        """Expected periods until the end of a run of age 1, 2, .."""
        hazard = self.hazard(transition)
        ahead = [1 / hazard[..., -1].clamp(min=0)]
        for leaves in hazard.unbind(-1)[-2::-1]:
            ahead.append(1 + (1 - leaves) * ahead[-1])
        return torch.stack(ahead[::-1], dim=-1)

    def fit(
        self, states: Int[Tensor, "batch time"], *, lengths: Int[Tensor, " batch"] | None = None, max_steps: int = 500
    ) -> RegimePersistenceModel:
        """Maximize the likelihood of the lengths of runs, run by run and period by period.

        A run that the end of its sequence cuts off counts by the periods that it did last. The first run of a
        sequence does not count, as its age is not known. The first 60 % of the periods, sequence after sequence,
        train, the next 20 % stop, the last 20 % judge; put sequences in order of time, and let them not overlap.

        Args:
            states: labels 0 .. K - 1 of a training window, such as smoothed or decoded ones; -1 where unknown.
            lengths: valid periods of each sequence.
            max_steps: most steps of the optimizer.

        Raises:
            InputError: labels out of bounds, or fewer than 100 periods in runs whose start was seen.
        """
        check_labels("RegimePersistenceModel.fit", states, self.K)
        states = torch.where(within(states, lengths), states, MISSING)
        age, seen = ages_of(states)
        usable = seen[:, :-1] & (states[:, 1:] >= 0)
        parts = parts_of(usable, 1, "RegimePersistenceModel.fit")
        age, now, later = age[:, :-1][usable], states[:, :-1][usable], states[:, 1:][usable]
        one_hot = nn.functional.one_hot(torch.stack([now, later])[:, parts.training], self.K).to(self.transition.dtype)
        self._learn_chain(one_hot[0], one_hot[1])
        self.oldest.copy_(age[parts.training].max())
        features = _age_features(age.clamp(max=int(self.oldest)))
        free = (1 - self.transition.diagonal())[now]

        def losses(places: Int[Tensor, " places"]) -> Float[Tensor, " places"]:
            tilt = self.tilt(features[places]).gather(-1, now[places].unsqueeze(-1)).squeeze(-1)
            leaves = tilt_odds(free[places], tilt)
            return -torch.where(now[places] != later[places], leaves, 1 - leaves).clamp(min=IMPOSSIBLE).log()

        self._learn(features, losses, parts, max_steps)
        if not self.beats_baseline_:
            self.oldest.fill_(1)
        return self


def ages_of(states: Int[Tensor, "batch time"]) -> tuple[Int[Tensor, "batch time"], Bool[Tensor, "batch time"]]:
    """Periods that the run of each period has lasted, itself included, and whether its start was seen.

    The start is seen where the label before is known and another. Unknown labels (-1) belong to no run.
    """
    time = torch.arange(states.shape[1], device=states.device).expand_as(states)
    starts = torch.zeros_like(states, dtype=torch.bool)
    starts[:, 1:] = (states[:, 1:] != states[:, :-1]) & (states[:, :-1] >= 0)
    begun = torch.where(starts, time, -1).cummax(-1).values
    unknown = torch.where(states < 0, time, -1).cummax(-1).values
    seen = (begun >= 0) & (begun > unknown)
    return torch.where(seen, time - begun + 1, 1), seen


def _age_features(age: Int[Tensor, " runs"]) -> Float[Tensor, "runs 2"]:
    ages = age.double()
    return torch.stack([ages, ages.log()], dim=-1)


def _mean(
    weights: Float[Tensor, "batch regimes ages"], expected: Float[Tensor, "batch regimes ages"]
) -> Float[Tensor, " batch"]:
    """Weighted sum in which what has no weight counts nothing, be it infinite."""
    return torch.where(weights > 0, weights * expected, 0.0).sum((-2, -1))
