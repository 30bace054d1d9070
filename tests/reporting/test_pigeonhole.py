"""Pigeonhole bootstrap: every draw by brute force, the law of the draws, and coverage on crossed random effects."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.component import InputError
from praesidium.reporting import pigeonhole
from praesidium.reporting.pigeonhole import Draws, cvar_draws, mean_draws
from praesidium.reporting.statistics import estimate
from praesidium.risk import cvar
from praesidium.training.reproducibility import stream

SEEDS, EPISODES = 4, 23


def make(name, *, seeds=SEEDS, episodes=EPISODES, draws=70):
    return Draws.make(seeds=seeds, episodes=episodes, draws=draws, generator=stream("tests", name))


def noise(*shape, name):
    return torch.randn(*shape, dtype=torch.float64, generator=stream("tests", name))


def by_hand(table, draws, functional):
    """Each draw as a table whose rows and columns are repeated, one functional of a row after the other."""
    counts = torch.cat(list(draws.counts()), -1).long().T
    rows = table.double().expand(draws.seeds.shape[1], -1)
    drawn = [
        [functional(rows[s].repeat_interleave(count)) for s in seeds]
        for seeds, count in zip(draws.seeds, counts, strict=True)
    ]
    return torch.tensor(drawn, dtype=torch.float64)


@pytest.fixture
def tables():
    seeds = noise(SEEDS, EPISODES, name="tables")
    return {
        "hirm": seeds,
        "erm": (2 * noise(SEEDS, EPISODES, name="others")).float(),
        "delta": noise(1, EPISODES, name="rule"),
        "tied": seeds.round(),
    }


@pytest.mark.parametrize("level", [0.01, 0.5, 0.87, 0.95, 0.999])
def test_every_draw_is_the_cvar_of_the_repeated_episodes(tables, level):
    draws = make("brute force")
    for name, resampled in cvar_draws(tables, draws, level=level).items():
        rows = tables[name].double().expand(SEEDS, -1)
        torch.testing.assert_close(resampled.observed, cvar(rows, level=level), rtol=1e-12, atol=1e-12)
        expected = by_hand(tables[name], draws, lambda row: cvar(row, level=level))
        torch.testing.assert_close(resampled.drawn, expected, rtol=1e-11, atol=1e-11)


def test_every_draw_is_the_mean_of_the_repeated_episodes(tables):
    draws = make("brute force")
    for name, resampled in mean_draws(tables, draws).items():
        rows = tables[name].double().expand(SEEDS, -1)
        torch.testing.assert_close(resampled.observed, rows.mean(-1))
        torch.testing.assert_close(resampled.drawn, by_hand(tables[name], draws, torch.mean))


@given(seeds=st.integers(1, 4), episodes=st.integers(1, 40), level=st.floats(0.01, 0.99), key=st.integers(0, 2**62))
@settings(max_examples=40, deadline=None)
def test_any_table_agrees_with_brute_force(seeds, episodes, level, key):
    draws = replace(make("law", seeds=seeds, episodes=episodes, draws=5), key=key)
    table = noise(seeds, episodes, name=key)
    drawn = cvar_draws({"one": table}, draws, level=level)["one"].drawn
    torch.testing.assert_close(drawn, by_hand(table, draws, lambda row: cvar(row, level=level)), rtol=1e-9, atol=1e-9)


def test_too_few_kept_losses_are_widened(tables, monkeypatch):
    draws = make("widen")
    enough = cvar_draws(tables, draws, level=0.8)
    monkeypatch.setattr(pigeonhole, "SPARE", 0.0)  # every second draw or so is short of worst losses
    for name, resampled in cvar_draws(tables, draws, level=0.8).items():
        torch.testing.assert_close(resampled.drawn, enough[name].drawn, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_blocks_do_not_matter(tables, monkeypatch, block):
    draws = make("blocks")
    counts, risks = torch.cat(list(draws.counts()), -1), cvar_draws(tables, draws, level=0.8)["hirm"].drawn
    monkeypatch.setattr(pigeonhole, "BLOCK", block)
    assert torch.equal(torch.cat(list(draws.counts()), -1), counts)
    torch.testing.assert_close(cvar_draws(tables, draws, level=0.8)["hirm"].drawn, risks, rtol=1e-12, atol=1e-12)


def test_the_generator_alone_decides():
    torch.manual_seed(1)
    first = make("one")
    torch.manual_seed(2)
    again, other = make("one"), make("two")
    assert torch.equal(first.seeds, again.seeds)
    assert first.key == again.key != other.key
    assert not torch.equal(first.seeds, other.seeds)
    once, twice = (torch.cat(list(first.counts()), -1) for _ in range(2))
    assert torch.equal(once, twice)
    assert not torch.equal(torch.cat(list(other.counts()), -1), once)
    assert torch.equal(make("one", episodes=7).seeds, first.seeds)


def test_counts_are_multinomial():
    counts = torch.cat(list(make("law", draws=20_000).counts()), -1)
    assert (counts.sum(0) == EPISODES).all()
    # Each count is binomial(n, 1 / n); any two have the correlation -1 / (n - 1).
    variance = 1 - 1 / EPISODES
    covariance = counts.cov(correction=0)
    assert counts.mean(1).sub(1).abs().max() < 4.5 * (variance / 20_000) ** 0.5
    assert covariance.diag().sub(variance).abs().max() < 0.08
    assert covariance.fill_diagonal_(-1 / EPISODES).add(1 / EPISODES).abs().max() < 0.04


def test_seeds_are_drawn_uniformly_and_with_replacement():
    seeds = make("seeds", draws=20_000).seeds
    shares = seeds.view(-1).bincount(minlength=SEEDS) / seeds.numel()
    assert shares.sub(1 / SEEDS).abs().max() < 0.01
    distinct = torch.tensor([len(set(one)) for one in seeds.tolist()], dtype=torch.float64).mean().item()
    assert distinct == pytest.approx(SEEDS * (1 - (1 - 1 / SEEDS) ** SEEDS), abs=0.03)


def test_variance_of_a_mean_counts_both_sources_and_three_times_the_cells():
    draws = make("variance", seeds=20, episodes=50, draws=20_000)
    by_seed, by_episode, cells = noise(20, 1, name="a"), noise(1, 50, name="b"), noise(20, 50, name="c")
    cells = cells - cells.mean(0) - cells.mean(1, keepdim=True) + cells.mean()
    for table, variance in [
        (by_seed + by_episode, by_seed.var(correction=0) / 20 + by_episode.var(correction=0) / 50),
        (0.3 * by_seed.expand(20, 50), 0.09 * by_seed.var(correction=0) / 20),
        # Doubly centered, a table is moved by products of the deviations of both weights alone, each of variance one.
        (cells, cells.square().mean() / (20 * 50)),
    ]:
        drawn = mean_draws({"one": table}, draws)["one"].drawn.mean(-1)
        assert drawn.var().item() == pytest.approx(variance.item(), rel=0.05)
    raw = noise(20, 50, name="noise of cells")
    drawn = mean_draws({"one": raw}, draws)["one"].drawn.mean(-1)
    assert 2 < drawn.var().item() / (raw.var() / (20 * 50)).item() < 4


def test_all_methods_share_seeds_and_episodes():
    draws = make("shared")
    table = noise(SEEDS, EPISODES, name="shared")
    drawn = {name: one.drawn for name, one in cvar_draws({"a": table, "b": 2 * table + 1}, draws, level=0.9).items()}
    torch.testing.assert_close(drawn["b"], 2 * drawn["a"] + 1)
    torch.testing.assert_close(
        -mean_draws({"pnl": -table}, draws)["pnl"].drawn, mean_draws({"loss": table}, draws)["loss"].drawn
    )


def test_a_single_row_takes_every_place():
    rule = noise(1, EPISODES, name="rule")
    draws = make("rule")
    for resampled in (cvar_draws({"delta": rule}, draws, level=0.9), mean_draws({"delta": rule}, draws)):
        one = resampled["delta"]
        assert one.observed.shape == (SEEDS,)
        assert (one.drawn == one.drawn[:, :1]).all()
        assert one.drawn[:, 0].unique().numel() > 10


def test_infinities_reach_the_draws_that_hold_them():
    draws = make("infinite")
    table = noise(SEEDS, EPISODES, name="infinite")
    table[0] = math.inf
    table[1, 3] = math.inf
    resampled = cvar_draws({"one": table}, draws, level=0.9)["one"]
    expected = by_hand(table, draws, lambda row: cvar(row, level=0.9))
    assert expected.isinf().any()
    assert expected.isfinite().any()
    torch.testing.assert_close(resampled.drawn, expected)
    assert resampled.observed.isinf().tolist() == [True, True, False, False]
    table[1, 4] = -math.inf
    expected = by_hand(table, draws, torch.mean)
    assert {*expected[expected.isinf()].tolist()} == {math.inf, -math.inf}
    assert expected.isnan().any()
    torch.testing.assert_close(mean_draws({"one": table}, draws)["one"].drawn, expected, equal_nan=True)


@pytest.mark.parametrize("source", ["seeds", "episodes", "both"])
def test_intervals_cover_on_crossed_random_effects(monkeypatch, source):
    """CVaR of mu + a_s + b_i is mu + a_s + CVaR(b): its mean over the seeds has a closed form."""
    monkeypatch.setattr(pigeonhole, "BLOCK", 300)
    level, seeds, episodes, worlds = 0.8, 14, 300, 80
    scale_seed, scale_episode = {"seeds": (1.0, 0.1), "episodes": (0.01, 1.0), "both": (0.2, 1.0)}[source]
    normal = torch.distributions.Normal(torch.zeros((), dtype=torch.float64), 1.0)
    quantile = normal.icdf(torch.tensor(level, dtype=torch.float64))
    truth = 3 + scale_episode * (normal.log_prob(quantile).exp() / (1 - level)).item()
    covered, conditional = 0, 0
    for world in range(worlds):
        by_seed = scale_seed * noise(seeds, 1, name=f"seeds {world}")
        table = 3 + by_seed + scale_episode * noise(1, episodes, name=f"episodes {world}")
        draws = make(f"world {world}", seeds=seeds, episodes=episodes, draws=300)
        found = estimate(lambda risks: risks.mean(-1), cvar_draws({"one": table}, draws, level=level)["one"])
        covered += found.lower <= truth <= found.upper
        half = 1.96 * cvar(table, level=level).std().item() / seeds**0.5
        conditional += abs(found.point - truth) <= half
    assert 0.87 <= covered / worlds <= 0.99
    if source != "seeds":
        assert conditional / worlds < 0.8  # what an interval over seeds alone misses


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (torch.zeros(SEEDS, EPISODES + 1), r"shape \(4, 24\)"),
        (torch.zeros(SEEDS - 1, EPISODES), r"shape \(3, 23\)"),
        (torch.zeros(EPISODES), r"shape \(23,\)"),
        (torch.full((SEEDS, EPISODES), math.nan), "NaN"),
    ],
)
def test_tables_that_do_not_fit_are_refused(table, message):
    for resample in (mean_draws, lambda tables, draws: cvar_draws(tables, draws, level=0.9)):
        with pytest.raises(InputError, match=f"'erm'.*{message}"):
            resample({"hirm": torch.zeros(SEEDS, EPISODES), "erm": table}, make("bad"))


def test_other_bad_input_is_refused():
    table = torch.zeros(SEEDS, EPISODES)
    with pytest.raises(InputError, match=r"did you mean 0\.95"):
        cvar_draws({"one": table}, make("bad"), level=95)
    with pytest.raises(InputError, match="-inf"):
        cvar_draws({"one": table - math.inf}, make("bad"), level=0.95)
    for argument in ("seeds", "episodes", "draws"):
        with pytest.raises(InputError, match=f"{argument}=0"):
            make("bad", **{argument: 0})
