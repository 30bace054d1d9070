"""The VQ-VAE-HMM: vector-quantized evidence, an exact chain posterior, and a law of observations for each regime."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from praesidium.component import InputError, real, unknown, whole
from praesidium.regimes import hmm
from praesidium.regimes.batch import Batch, checked
from praesidium.regimes.causality import refuse_look_ahead
from praesidium.regimes.decoder import Decoder
from praesidium.regimes.elbo import POSTERIORS
from praesidium.regimes.encoder import Encoder
from praesidium.regimes.prior import Chain, Prior
from praesidium.regimes.quantizer import Quantized, Quantizer, Usage
from praesidium.training import checkpoints
from praesidium.training.reproducibility import stream


class VAE_HMM(nn.Module):  # noqa: N801
    """A hidden Markov model of regimes that is trained as a vector-quantized variational autoencoder.

    Generative model: z_1 ~ pi, z_{t+1} ~ A(u_t)[z_t, .] (:class:`~.prior.Prior`), x_t ~ p(. | z_t)
    (:class:`~.decoder.Decoder`).

    Recognition: a causal encoder gives a vector of evidence for the K regimes at each time, and it is replaced by the
    nearest of M codes (:class:`~.quantizer.Quantizer`). A code is thus a symbol with its own likelihood ratios between
    regimes, and the posterior that follows is that of a hidden Markov model of M symbols. A time at which nothing was
    observed has no evidence. Training (:func:`.fitting.train_model`) maximizes the evidence lower bound (:mod:`.elbo`)
    over everything at once, less the commitment that keeps encoder and codes together.

    Decisions: :meth:`filter` is Bayes' rule in the generative model, p(z_t | x_1..t, u_1..t-1), exact and causal.
    The posterior through the codes serves training, and :meth:`forward` gives its causal form.

    Layout: x (B, C, T), u (B, U, T), evidence and q (B, K, T) as convolutions have them; probabilities that leave by
    :meth:`filter`, :meth:`smooth` and :meth:`forecast` are (B, T, K). NaN in x is missing. Past ``lengths`` anything
    may stand.

    Args:
        input_dim: features C.
        hidden_dim: channels of the encoder's first layer, hidden units of the decoder.
        K: regimes.
        hidden_dim2: channels of the encoder's second layer, length of a regime's embedding.
        u_dim: inputs U of the transitions, or None for a chain that is always the same.
        trans_hidden: hidden units of the transitions.
        n_codes: codes M, at least K.
        emission: ``gaussian`` or ``student``.
        posterior: ``structured`` (exact chain posterior) or ``mean_field`` (times independent).
        commitment: weight of the commitment loss.
        pseudo_stays: stays in each regime that are taken as observed before any data (Dirichlet prior on A).
        seed: of initial values and codes.

    Attributes:
        training_times: times of the data that the model started from; 0 before.
        history: a line an epoch of its last training (:class:`.fitting.Epoch`).
    """

    training_times: Tensor
    history: Sequence[tuple[float, float, float]] = ()

    def __init__(
        self,
        input_dim: int,
        hidden_dim: int,
        K: int,
        hidden_dim2: int,
        u_dim: int | None = None,
        trans_hidden: int = 128,
        *,
        n_codes: int = 32,
        emission: str = "gaussian",
        posterior: str = "structured",
        commitment: float = 0.25,
        pseudo_stays: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        sizes = {"input_dim": input_dim, "hidden_dim": hidden_dim, "hidden_dim2": hidden_dim2}
        sizes |= {"trans_hidden": trans_hidden} | ({} if u_dim is None else {"u_dim": u_dim})
        for name, size in sizes.items():
            if not whole(size):
                raise InputError(f"VAE_HMM: {name}={size!r} is not a positive whole number; say how many there are")
        for name, weight in (("commitment", commitment), ("pseudo_stays", pseudo_stays)):
            if not (real(weight) and 0 <= weight < math.inf):
                raise InputError(f"VAE_HMM: {name}={weight!r} is not a number from 0 on; leave it out, or say 0")
        if K < 2 or n_codes < K:
            raise InputError(f"VAE_HMM: K={K}, n_codes={n_codes} need K >= 2 and n_codes >= K to tell regimes apart")
        if posterior not in POSTERIORS:
            raise InputError(unknown("posterior", posterior, POSTERIORS))
        self.settings: dict[str, Any] = {
            "input_dim": input_dim,
            "hidden_dim": hidden_dim,
            "K": K,
            "hidden_dim2": hidden_dim2,
            "u_dim": u_dim,
            "trans_hidden": trans_hidden,
            "n_codes": n_codes,
            "emission": emission,
            "posterior": posterior,
            "commitment": commitment,
            "pseudo_stays": pseudo_stays,
            "seed": seed,
        }
        self.K, self.input_dim, self.u_dim = K, input_dim, u_dim
        self.posterior, self.commitment, self.pseudo_stays = POSTERIORS[posterior], commitment, pseudo_stays
        self.encoder = Encoder(input_dim, hidden_dim, hidden_dim2, K, seed=seed)
        self.quantizer = Quantizer(n_codes, K, seed=seed)
        self.prior = Prior(K, u_dim, trans_hidden, seed=seed)
        self.decoder = Decoder(K, hidden_dim2, hidden_dim, input_dim, emission=emission, seed=seed)
        self.register_buffer("training_times", torch.zeros((), dtype=torch.int64))

    @property
    def started(self) -> bool:
        """Whether the model has been placed by data (:func:`.fitting.train_model`)."""
        return bool(self.training_times > 0)

    # ---- the autoencoder --------------------------------------------------------------------------------------------

    def encode(self, x: Float[Tensor, "batch channels time"]) -> Float[Tensor, "batch regimes time"]:
        """Evidence before quantization; at t it knows x up to t. Zero at times without any observation."""
        return torch.where(x.isnan().all(1, keepdim=True), 0.0, self.encoder(x))

    def decode(
        self, q: Float[Tensor, "batch regimes time"]
    ) -> tuple[Float[Tensor, "batch channels time"], Float[Tensor, "batch channels time"]]:
        """Mean and log-variance of the observation at each time if its regime has distribution q."""
        return self.decoder(q)

    def forward(
        self, x: Float[Tensor, "batch channels time"], u: Float[Tensor, "batch inputs time"] | None = None
    ) -> tuple[
        tuple[Float[Tensor, "batch channels time"], Float[Tensor, "batch channels time"]],
        Float[Tensor, "batch regimes time"],
    ]:
        """Encode, quantize, filter, decode: ``((mean, log-variance), q)``, where q at t knows x up to t.

        q is differentiable in encoder, chain and (straight through) codes. It is the filter of a quantized observation:
        for a decision take :meth:`filter`, which knows x itself.
        """
        batch = checked(x, u, None, channels=self.input_dim)
        chain: Chain = self.prior(batch.u)
        q = hmm.filtered(*chain, self.quantize(batch).values).transpose(1, 2)
        return self.decode(q), q

    def compute_loss(
        self,
        x: Float[Tensor, "batch channels time"],
        u: Float[Tensor, "batch inputs time"] | None = None,
        lengths: Int[Tensor, " batch"] | None = None,
        beta: float = 1.0,
    ) -> Float[Tensor, ""]:
        """Nats a time: -(reconstruction - beta KL) / times, plus the commitment, less the prior of pseudo_stays.

        Times are those inside the lengths, in all sequences together; the prior counts by one of all training times.
        In training mode codes follow their vectors.
        """
        batch = checked(x, u, lengths, channels=self.input_dim)
        chain, quantized = self.prior(batch.u), self.quantize(batch)
        bound = self.posterior(chain, quantized.values, self.decoder.log_prob(batch.x), lengths=batch.lengths)
        loss = -bound.elbo(beta=beta).sum() / batch.mask.sum() + self.commitment * quantized.commitment
        if self.pseudo_stays and self.started:
            loss = loss - self.pseudo_stays * self.prior.persistence(chain, batch.mask) / self.training_times
        return loss

    def usage(self) -> Usage:
        """How codes are used, with an alarm if there are fewer than regimes, or they do not tell regimes apart."""
        return self.quantizer.usage(least=self.K)

    # ---- inference --------------------------------------------------------------------------------------------------

    def filter(
        self,
        x: Float[Tensor, "batch channels time"],
        u: Float[Tensor, "batch inputs time"] | None = None,
        lengths: Int[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "batch time regimes"]:
        """p(z_t | x_1..t, u_1..t-1): what a decision at t may know."""
        return hmm.filtered(*self.hmm_arguments(x, u, lengths), lengths=lengths)

    def smooth(
        self,
        x: Float[Tensor, "batch channels time"],
        u: Float[Tensor, "batch inputs time"] | None = None,
        lengths: Int[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "batch time regimes"]:
        """p(z_t | all of x): to describe the past, never for a decision.

        Raises:
            LookAhead: where a decision is made.
        """
        refuse_look_ahead("VAE_HMM.smooth")
        return hmm.smoothed(*self.hmm_arguments(x, u, lengths), lengths=lengths).marginals

    def viterbi(
        self,
        x: Float[Tensor, "batch channels time"],
        u: Float[Tensor, "batch inputs time"] | None = None,
        lengths: Int[Tensor, " batch"] | None = None,
    ) -> hmm.Path:
        """The most likely sequence of regimes given all of x.

        Raises:
            LookAhead: where a decision is made.
        """
        refuse_look_ahead("VAE_HMM.viterbi")
        return hmm.viterbi(*self.hmm_arguments(x, u, lengths), lengths=lengths)

    def log_likelihood(
        self,
        x: Float[Tensor, "batch channels time"],
        u: Float[Tensor, "batch inputs time"] | None = None,
        lengths: Int[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, " batch"]:
        """log p(x | u) of each sequence, exact."""
        return hmm.log_normalizer(*self.hmm_arguments(x, u, lengths), lengths=lengths)

    def forecast(
        self,
        x: Float[Tensor, "batch channels time"],
        u: Float[Tensor, "batch inputs time"] | None = None,
        lengths: Int[Tensor, " batch"] | None = None,
        *,
        steps: int = 1,
    ) -> Float[Tensor, "batch time steps regimes"]:
        """p(z_{t+1} | x_1..t, u_1..t), ..., p(z_{t+steps} | .) from every t, as if inputs stayed as they are at t."""
        now, moves = self.filter(x, u, lengths), self.transition(u)
        return hmm.forecast(now, moves.unsqueeze(-3).expand(*moves.shape[:-2], steps, -1, -1), steps=steps)

    def transition(
        self, u: Float[Tensor, "batch inputs time"] | None = None
    ) -> Float[Tensor, "*steps regimes regimes"]:
        """A after each time, (B, T, K, K): row i, column j is P(z_{t+1} = j | z_t = i, u_t); (K, K) without inputs."""
        return self.prior.moves(u).exp()

    def sample(
        self, steps: int, batch: int, u: Float[Tensor, "batch inputs time"] | None = None, *, seed: int = 0
    ) -> tuple[Float[Tensor, "batch channels time"], Int[Tensor, "batch time"]]:
        """Observations and their regimes, drawn from the generative model."""
        if not whole(steps) or not whole(batch):
            raise InputError(f"VAE_HMM.sample: steps={steps} and batch={batch} are not both positive; say 1 or more")
        generator = stream(seed, "sample", "vae_hmm")
        with torch.no_grad():
            chain = self.prior(u)
            moves = chain.log_transition.cpu()
            states = hmm.sample_chain(chain.log_initial.cpu(), moves, steps=steps, batch=batch, generator=generator)
        x = self.decoder.draw(states.flatten(), generator).unflatten(0, states.shape)
        return x.transpose(1, 2), states

    # ---- order and files --------------------------------------------------------------------------------------------

    def volatility(self) -> Float[Tensor, " regimes"]:
        """Standard deviation of the first feature in each regime."""
        return self.decoder.variances()[:, 0].sqrt()

    def permute(self, order: Int[Tensor, " regimes"]) -> None:
        """Rename regimes: what was regime ``order[k]`` becomes regime k. Nothing else changes."""
        for part in (self.encoder, self.quantizer, self.prior, self.decoder):
            part.permute(order)

    def save(self, path: str | Path) -> None:
        """Write weights as safetensors, with the settings as JSON in the header."""
        checkpoints.save(Path(path), self.state_dict(), {"model": "VAE_HMM", "settings": self.settings})

    @classmethod
    def load(cls, path: str | Path) -> VAE_HMM:
        """The model that :meth:`save` wrote, in evaluation mode."""
        tensors, facts = checkpoints.load(Path(path))
        if facts.get("model") != "VAE_HMM":
            raise InputError(
                f"{path}: holds {facts.get('model')!r}, not a VAE_HMM; give a file that VAE_HMM.save wrote"
            )
        model = cls(**facts["settings"])
        model.load_state_dict(tensors)
        return model.eval()

    # ---- within -----------------------------------------------------------------------------------------------------

    def quantize(self, batch: Batch) -> Quantized:
        """Codes of the evidence, (B, T, K), zero where nothing was observed; they follow it in training mode."""
        return self.quantizer(self.encode(batch.x).transpose(1, 2), batch.observed)

    def hmm_arguments(
        self, x: Tensor, u: Tensor | None, lengths: Tensor | None
    ) -> tuple[Float[Tensor, " regimes"], Float[Tensor, "*steps regimes regimes"], Float[Tensor, "batch time regimes"]]:
        """Logarithms of the generative model, as the functions of :mod:`.hmm` take them."""
        batch = checked(x, u, lengths, channels=self.input_dim)
        chain: Chain = self.prior(batch.u)
        return chain.log_initial, chain.log_transition, self.decoder.log_prob(batch.x)
