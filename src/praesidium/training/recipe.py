"""How long and how fast to train."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from praesidium.component import Component


class Recipe(Component):
    """Settings of the training loop, the same for every method of a study.

    Attributes:
        steps: optimizer steps.
        episodes: episodes of each environment in a batch.
        pool: episodes of each environment to draw from.
        learning_rate: of Adam, at its largest; half a cosine takes it down to 2 %.
        weight_decay: decoupled (AdamW).
        dropout: share of hidden units left out in each step, the same for all episodes and days of a step.
        labels: whether environments are trained on as they are (``bands``); or episodes are dealt out to them at
            ``random``, for the ablation that takes their meaning away; or each regime is an environment (``regimes``),
            in which an episode counts by the mean probability of the regime over its days.
        clip: largest norm of the gradient.
        warmup: share of the steps with plain ERM.
        rise: share of the steps over which the penalty rises to its weight.
        validate_every: steps between validations; each one writes a checkpoint to resume from.
        keep: best checkpoints kept, by validation risk, among those with the full penalty.
        patience: validations without a better one after which training ends early; none lets it run to its end.
    """

    steps: PositiveInt = 200
    episodes: int = Field(default=512, ge=2)
    pool: PositiveInt = 8192
    learning_rate: PositiveFloat = 1e-2
    weight_decay: NonNegativeFloat = 0.0
    dropout: float = Field(default=0.0, ge=0, lt=1)
    labels: Literal["bands", "random", "regimes"] = "bands"
    clip: PositiveFloat = 1.0
    warmup: float = Field(default=0.13, ge=0, le=1)
    rise: float = Field(default=0.07, ge=0, le=1)
    validate_every: PositiveInt = 20
    keep: PositiveInt = 3
    patience: PositiveInt | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        if self.warmup + self.rise >= 1:
            raise ValueError(
                f"warmup + rise = {self.warmup + self.rise:g} leaves no step for the full penalty; lower one"
            )
        if self.episodes > self.pool:
            raise ValueError(f"episodes={self.episodes} is more than pool={self.pool}; a batch is drawn from the pool")
        return self
