"""How good a hedge, and how soon: a 20-day at-the-money call, beside pfhedge's networks and the textbook.

Black-Scholes market with 20 % volatility, proportional cost 1e-3, spot 1, no premium. Every policy is judged on the
same 200,000 fresh paths by the expected shortfall of the worst 5 % of its losses; training times are of one thread,
simulation included. The last line is JSON: ``es95`` and ``seconds`` are of Praesidium's no-trade band around delta.
"""

import json
import tempfile
import time
from pathlib import Path

import torch
from pfhedge.instruments import BrownianStock, EuropeanOption
from pfhedge.nn import BlackScholes, Clamp, ExpectedShortfall, Hedger, MultiLayerPerceptron
from torch import Tensor
from torch.nn.functional import leaky_relu

from praesidium.experiments.engines import keep_memory
from praesidium.experiments.task import HedgingTask
from praesidium.hedging.episode import Ledger
from praesidium.hedging.liabilities.european_call import EuropeanCall
from praesidium.hedging.rollout import Scene, Trial
from praesidium.hedging.state_builder import StateBuilder, StateSettings
from praesidium.hedging.volatility import Quoted
from praesidium.markets.brownian import GeometricBrownian
from praesidium.markets.paths import Paths
from praesidium.objectives.erm import ERM
from praesidium.policies.encoders import PhiOnly
from praesidium.policies.greeks import Delta
from praesidium.policies.neural import Neural
from praesidium.policies.outputs import Band
from praesidium.policies.policy import Sizes
from praesidium.risk import cvar
from praesidium.training.batching import BalancedBatches
from praesidium.training.loop import fit
from praesidium.training.recipe import Recipe
from praesidium.training.replicas import Replica
from praesidium.training.reproducibility import stream

MARKET, DAYS, DT, COST = GeometricBrownian(volatility=0.2), 20, 1 / 250, 1e-3
JUDGED, POOL, EPISODES, STEPS = 200_000, 65_536, 8192, 200


def simulate(count: int, purpose: str) -> Paths:
    """Paths without history."""
    return MARKET.simulate(paths=count, horizon=DAYS, lookback=0, dt=DT, generator=stream("quality", purpose))


def settings() -> StateSettings:
    """What the network sees."""
    features = ("delta", "gamma_scaled", "time_to_maturity", "log_moneyness")
    return StateSettings(phi=features, context=(), volatility=Quoted())


def train() -> tuple[torch.nn.Module, StateBuilder]:
    """Praesidium's band around delta."""
    paths, held_out = simulate(POOL, "training"), simulate(32_768, "validation")
    builder = settings().fit([paths.take(slice(0, 4096))], EuropeanCall())
    rule = Neural(encoder=PhiOnly(width=32, depth=2), output=Band()).build(Sizes(4, 0, 1), seed=0)
    scenes = [Scene.make(one, builder, COST) for one in (paths, held_out)]
    task = HedgingTask(rule, [scenes[:1]], scenes[1:], level=0.95, smoothing=0.1, cost_smoothing=0.0, scale=[0.01])
    recipe = Recipe(steps=STEPS, episodes=EPISODES, pool=POOL, validate_every=20, warmup=0.0, rise=0.0)
    with tempfile.TemporaryDirectory() as folder:
        batches = BalancedBatches(POOL, EPISODES, 1, stream("quality", "batches"))
        fit([Replica(rule, ERM(), recipe, batches, Path(folder), lambda row: None)], task)
    return rule, builder


class NoTransactionBand(torch.nn.Module):
    """The no-transaction-band network of Imaki et al. 2021 (arXiv 2103.01775), from pfhedge's parts."""

    def __init__(self, option: EuropeanOption) -> None:
        super().__init__()
        self.delta, self.width = BlackScholes(option), MultiLayerPerceptron(out_features=2)

    def inputs(self) -> list[str]:
        """Features by pfhedge's names."""
        return [*self.delta.inputs(), "prev_hedge"]

    def forward(self, x: Tensor) -> Tensor:
        """The position nearest to the last one within the band."""
        delta, (below, above) = self.delta(x[..., :-1]), leaky_relu(self.width(x[..., :-1])).split(1, dim=-1)
        return Clamp()(x[..., -1:], min=delta - below, max=delta + above)


def train_pfhedge(*, band: bool) -> tuple[Hedger, EuropeanOption]:
    """pfhedge's networks on expected shortfall: 200 epochs of 5,000 fresh paths, 4x32, its own defaults otherwise."""
    torch.manual_seed(0)
    option = EuropeanOption(BrownianStock(sigma=0.2, cost=COST, dt=DT), maturity=DAYS * DT)
    if band:
        network = NoTransactionBand(option)
        hedger = Hedger(network, network.inputs(), criterion=ExpectedShortfall(0.05))
    else:
        features = ["log_moneyness", "time_to_maturity", "volatility", "prev_hedge"]
        hedger = Hedger(MultiLayerPerceptron(), features, criterion=ExpectedShortfall(0.05))
    hedger.fit(option, n_paths=5000, n_epochs=200, verbose=False)
    return hedger, option


def judge_pfhedge(hedger: Hedger, option: EuropeanOption, ledger: Ledger) -> tuple[float, float]:
    """Its positions on the common paths, in our books."""
    option.ul().register_buffer("spot", ledger.spot.T.contiguous())
    with torch.no_grad():
        positions = hedger.compute_hedge(option).squeeze(1)[:, :-1].T
    return judge(ledger.settle(positions).pnl_without_premium)


def judge(profit: Tensor) -> tuple[float, float]:
    """Expected shortfall of the worst 5 % and mean of the loss."""
    return cvar(-profit, level=0.95).item(), -profit.mean().item()


def main() -> None:
    """Train and judge everybody and print it."""
    torch.set_num_threads(1)
    keep_memory()
    begun = time.perf_counter()
    rule, builder = train()
    ours = time.perf_counter() - begun
    trial = Trial.make(simulate(JUDGED, "judged"), builder, COST)
    rows = {
        "delta": (*judge(trial.tally(Delta()).pnl_without_premium), 0.0),
        "praesidium band": (*judge(trial.tally(rule).pnl_without_premium), ours),
    }
    for name, band in (("pfhedge MLP", False), ("pfhedge band", True)):
        begun = time.perf_counter()
        hedger, option = train_pfhedge(band=band)
        seconds = time.perf_counter() - begun
        rows[name] = (*judge_pfhedge(hedger, option, trial.ledger), seconds)
    print(f"20-day at-the-money call, volatility 20 %, cost 1e-3; judged on {JUDGED} fresh paths")
    print(f"  {'':16s} {'ES-95':>8s} {'mean loss':>10s} {'seconds':>8s}")
    for name, (risk, mean, seconds) in rows.items():
        print(f"  {name:16s} {risk:8.5f} {mean:10.5f} {seconds:8.1f}")
    result = {"es95": rows["praesidium band"][0], "seconds": ours}
    result |= {f"{name.replace(' ', '_').lower()}_es95": risk for name, (risk, _, _) in rows.items()}
    result |= {f"{name.replace(' ', '_').lower()}_seconds": seconds for name, (_, _, seconds) in rows.items()}
    print(json.dumps({name: round(value, 5) for name, value in result.items()}))


if __name__ == "__main__":
    main()
