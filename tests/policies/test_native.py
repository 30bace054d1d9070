"""The native rollout decides as PyTorch does, to rounding; where it cannot, PyTorch decides."""

import logging
import os
import subprocess
import sys
from dataclasses import replace
from itertools import product
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.hedging.state import State
from praesidium.policies import native
from praesidium.policies.encoders import Encoder, Modulated, PhiOnly
from praesidium.policies.heads import PerEnvironment
from praesidium.policies.neural import Neural, NeuralRule
from praesidium.policies.outputs import Band, Free, Output
from praesidium.policies.policy import Sizes
from praesidium.training.parameters import Parameters
from praesidium.training.reproducibility import stream

SIZES = Sizes(phi=4, context=5, environments=2)
NEWER = {"regime", "transition", "lstm", "soft_band", "gamma_share"}  # PyTorch decides
ENCODERS, OUTPUTS = sorted(set(Encoder.registry) - NEWER), sorted(set(Output.registry) - NEWER)
KINDS = list(product(ENCODERS, OUTPUTS, ["silu", "relu"]))
UNDERFLOW = 3e-37  # x sigmoid(x) where exp(-x) overflows; PyTorch says 0 there as well

needs_compiler = pytest.mark.skipif(not native.available(), reason=f"no native kernel here: {native.describe()}")


def market(*shape, sizes=SIZES):
    """A state of noise, by day, perhaps by replica, and by path."""
    generator = stream("tests", "native", *shape)
    delta = torch.rand(shape, generator=generator)
    features = 2 * torch.randn(*shape, sizes.phi + sizes.context, generator=generator)
    tau = torch.rand(shape[0], *[1] * (len(shape) - 1), generator=generator)
    return State(delta, delta, delta, tau, delta[0], features, sizes.phi, (0.5, 0.3))


def network(encoder="split", output="residual", activation="silu", *, width=32, depth=2):
    parts = Encoder.registry[encoder](width=width, depth=depth, activation=activation), Output.registry[output]()
    return Neural(encoder=parts[0], output=parts[1])


def fast(rule, state):
    with torch.no_grad():
        return native.positions(rule.encoder, rule.head, rule.output, state)


def plain(rule, state):
    with torch.no_grad(), patch.dict(os.environ, PRAESIDIUM_NATIVE="0"):
        return rule.positions(state)


def assert_alike(rule, state):
    positions = fast(rule, state)
    assert positions is not None
    torch.testing.assert_close(positions, plain(rule, state), rtol=1e-5, atol=1e-6)


def relative_error(found, exact):
    return ((found.double() - exact).abs() / exact.abs().clamp(min=UNDERFLOW / 5e-7)).max().item()


@pytest.fixture
def fresh(monkeypatch):
    """As in a process that has not rolled out yet."""
    native._load.cache_clear()
    yield monkeypatch
    native._load.cache_clear()


@needs_compiler
@pytest.mark.parametrize(("encoder", "output", "activation"), KINDS)
def test_it_decides_as_pytorch_does(encoder, output, activation):
    for width, depth in product([1, 7, 16, 32, 33], [1, 2, 3]):
        rule = network(encoder, output, activation, width=width, depth=depth).build(SIZES, seed=3)
        assert_alike(rule, market(5, 19))


@needs_compiler
@pytest.mark.parametrize("steps", [1, 2, 60])
@pytest.mark.parametrize("paths", [1, 15, 16, 17, 4096])
def test_for_any_number_of_days_and_paths(steps, paths):
    for encoder in ENCODERS:
        assert_alike(network(encoder).build(SIZES, seed=3), market(steps, paths))


@needs_compiler
@pytest.mark.parametrize(("encoder", "output", "activation"), KINDS)
def test_it_is_as_exact_as_pytorch(encoder, output, activation):
    state, rule = market(60, 512), network(encoder, output, activation).build(SIZES, seed=3)
    ours, theirs = fast(rule, state), plain(rule, state)
    names = ("spot", "delta", "gamma", "tau", "cost_rate", "features")
    exact = plain(rule.double(), replace(state, **{name: getattr(state, name).double() for name in names}))
    ours, theirs = ((one - exact).square().mean().sqrt().item() for one in (ours, theirs))
    assert ours <= 2 * theirs


@needs_compiler
@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    kind=st.sampled_from(KINDS),
    width=st.integers(1, 40),
    depth=st.integers(1, 4),
    steps=st.integers(1, 4),
    paths=st.integers(1, 70),
    replicas=st.integers(1, 4),
    phi=st.integers(1, 9),
    context=st.integers(1, 9),
    stacked=st.booleans(),
)
def test_for_any_layout(kind, width, depth, steps, paths, replicas, phi, context, stacked):
    """Stacked replicas are views of a matrix, states are views of a larger one."""
    sizes, settings = Sizes(phi, context, 1), network(*kind, width=width, depth=depth)
    state = market(steps, replicas + 3, paths + 5, sizes=sizes)
    picked = {
        name: getattr(state, name)[:, 1 : replicas + 1, 2 : paths + 2]
        for name in ("spot", "gamma", "delta", "features")
    }
    state = replace(state, **picked, cost_rate=state.cost_rate[1 : replicas + 1, 2 : paths + 2])
    rules = [settings.build(sizes, seed=seed) for seed in range(replicas)]
    if not stacked:
        assert_alike(rules[0], state)  # all replicas share it
        return
    parameters = Parameters(rules[0])
    rows = torch.stack([parameters.read(one) for one in rules])
    for values in (rows, rows.T.contiguous().T):
        rule = parameters.bind(values)
        assert_alike(rule, state)
        together = fast(rule, state)
        for number, one in enumerate(rules):
            alone = {name: getattr(state, name)[:, number] for name in picked}
            alone = replace(state, **alone, tau=state.tau[:, 0], cost_rate=state.cost_rate[number])
            assert torch.equal(together[:, number], fast(one, alone))


@needs_compiler
@pytest.mark.parametrize(("encoder", "output", "activation"), KINDS)
def test_each_path_and_each_day_is_decided_by_itself(encoder, output, activation):
    state, rule = market(20, 100), network(encoder, output, activation).build(SIZES, seed=3)
    whole = fast(rule, state)
    for part in (slice(0, 1), slice(3, 40), slice(83, 100)):
        assert torch.equal(fast(rule, state.take(part)), whole[:, part])
    later = replace(state, features=state.features.clone(), delta=state.delta.clone())
    later.features[11:] += 1
    later.delta[11:] += 1
    assert torch.equal(fast(rule, later)[:11], whole[:11])


@needs_compiler
@pytest.mark.parametrize("bad", [float("nan"), -float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(("encoder", "output", "activation"), KINDS)
def test_what_is_not_finite_stays_so(encoder, output, activation, bad):
    state, settings = market(3, 20), network(encoder, output, activation, width=9)
    for name, _ in settings.build(SIZES, seed=3).named_parameters():
        rule = settings.build(SIZES, seed=3)
        rule.get_parameter(name).detach().flatten()[-1] = bad
        ours, theirs = fast(rule, state), plain(rule, state)
        assert torch.equal(ours.isnan(), theirs.isnan())
        assert torch.equal(ours.isinf(), theirs.isinf())
    features = state.features.clone()
    features[1, 7] = bad
    state, rule = replace(state, features=features), settings.build(SIZES, seed=3)
    assert torch.equal(fast(rule, state).isfinite(), plain(rule, state).isfinite())


def every_magnitude():
    """Numbers of all exponents and, more densely, those where the functions bend."""
    bits = torch.randint(-(2**31), 2**31, (400_000,), dtype=torch.int64, generator=stream("tests", "bits"))
    values = bits.to(torch.int32).view(torch.float32)
    return torch.cat([values[values.isfinite()], torch.linspace(-120, 120, 400_001)])


def unit(encoder, output, x, **parameters):
    """Second position of a network of one unit whose parameters are 0 but for those given."""
    rule = NeuralRule(encoder, Neural().head.build(1, output.outputs, 1, seed=1, gain=1.0), output)
    with torch.no_grad():
        for name, one in rule.named_parameters():
            one.copy_(torch.tensor(parameters.get(name.replace(".", "_"), 0.0)))
    state = market(2, len(x), sizes=Sizes(phi=1, context=1, environments=1))
    features = torch.stack([torch.zeros_like(x), x]).unsqueeze(-1).repeat(1, 1, 2)
    high = torch.tensor([[1e38], [0.0]]).expand(2, len(x))  # so that a band ends at its upper edge
    return fast(rule, replace(state, features=features, delta=high))[1]


@needs_compiler
def test_silu_is_exact_for_every_number():
    x = every_magnitude()
    encoder = PhiOnly(width=1, depth=1).build(Sizes(1, 1, 1), seed=1)
    found = unit(encoder, Free(), x, encoder_body_first_weight=1.0, head_layer_weight=1.0)
    assert relative_error(found, x.double() * x.double().sigmoid()) < 5e-7


@needs_compiler
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_sigmoid_and_softplus_are_exact_for_every_number(sign):
    x = every_magnitude().abs()
    x = torch.where(x < 1e38, x, 1e38)
    relu = PhiOnly(width=1, depth=1, activation="relu").build(Sizes(1, 1, 1), seed=1)
    split = Encoder.registry["split"](width=1, depth=1, activation="relu").build(Sizes(1, 1, 1), seed=1)
    factor = unit(
        Modulated(split.phi, split.context, split.factor, 1.0),
        Free(),
        x,
        encoder_phi_first_bias=0.5,
        encoder_context_first_weight=1.0,
        encoder_factor_weight=sign,
        head_layer_weight=1.0,
    )
    assert relative_error(factor, (2 * sign * x.double()).sigmoid()) < 5e-7
    band = unit(relu, Band(), x, encoder_body_first_weight=1.0, head_layer_weight=[[0.0, sign]])
    assert relative_error(band, torch.nn.functional.softplus((sign * x - 3).double(), threshold=700)) < 5e-7


def test_an_output_of_ones_own_is_left_to_pytorch():
    class Doubled(Free):
        def position(self, raw, delta, previous):
            return 2 * super().position(raw, delta, previous)

    state, rule = market(3, 20), Neural(output=Doubled()).build(SIZES, seed=3)
    assert fast(rule, state) is None
    with torch.no_grad():
        assert torch.equal(rule.positions(state), plain(rule, state))


def test_what_it_does_not_know_is_left_to_pytorch():
    state, rule = market(3, 20), network().build(SIZES, seed=3)
    own = Neural(head=PerEnvironment()).build(SIZES, seed=3)
    others = [network(encoder, activation=one) for encoder in ENCODERS for one in ("tanh", "gelu")]
    assert all(fast(one, state) is None for one in [own, *(other.build(SIZES, seed=3) for other in others)])
    turned = replace(state, features=state.features.mT.contiguous().mT)
    assert fast(rule, turned) is None
    assert fast(rule, replace(state, delta=state.delta.double())) is None
    assert fast(network().build(SIZES, seed=3).double(), state) is None
    with torch.no_grad():
        torch.testing.assert_close(rule.positions(turned), rule.positions(state), rtol=1e-5, atol=1e-6)
    assert rule.positions(state).requires_grad


@needs_compiler
def test_rollouts_without_gradients_take_it(monkeypatch):
    state, rule = market(3, 20), network().build(SIZES, seed=3)
    with torch.no_grad():
        assert torch.equal(rule.positions(state), fast(rule, state))
    assert native.describe() == "native kernel"
    monkeypatch.setenv("PRAESIDIUM_NATIVE", "0")
    assert fast(rule, state) is None
    assert not native.available()
    assert native.describe() == "PyTorch (switched off)"


@pytest.mark.parametrize(
    ("compiler", "reason", "description"),
    [
        ("", "no C++ compiler was found", "PyTorch (no C++ compiler)"),
        ("false", "cannot be compiled with false", "PyTorch (the native kernel cannot be compiled)"),
    ],
)
def test_without_a_compiler_there_is_one_notice(compiler, reason, description, fresh, caplog):
    fresh.setattr(native, "COMPILERS", ())
    fresh.setenv("CXX", compiler)
    fresh.delenv("PRAESIDIUM_NATIVE", raising=False)
    state, rule = market(3, 20), network().build(SIZES, seed=3)
    with torch.no_grad():
        positions = [rule.positions(state) for _ in range(3)]
    assert not native.available()
    assert native.describe() == description
    assert all(torch.equal(one, plain(rule, state)) for one in positions)
    (notice,) = [one for one in caplog.records if one.name == "praesidium"]
    assert notice.levelno == logging.WARNING
    assert reason in notice.getMessage()


@needs_compiler
def test_neither_a_broken_library_nor_a_closed_cache_stops_it(fresh, tmp_path, caplog):
    fresh.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert native.available()
    (library,) = (tmp_path / "praesidium").iterdir()
    library.unlink()
    library.write_bytes(b"torn")
    native._load.cache_clear()
    assert native.available()
    fresh.setenv("XDG_CACHE_HOME", str(library))
    native._load.cache_clear()
    assert native.available()
    assert not caplog.records


@needs_compiler
def test_processes_may_compile_at_once(tmp_path):
    command = [sys.executable, "-c", "from praesidium.policies import native; print(native.describe())"]
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    both = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [one.communicate(timeout=300)[0].strip() for one in both] == ["native kernel"] * 2
    assert len(list((tmp_path / "praesidium").iterdir())) == 1
