"""The rollout without gradients as one compiled function: about twice as fast as PyTorch on a CPU.

The function is compiled at first use with the system's C++ compiler and kept in ``$XDG_CACHE_HOME/praesidium``
(``~/.cache/praesidium``). Where it cannot be, or where a network is none that it knows, rollouts run in PyTorch.
``PRAESIDIUM_NATIVE=0`` in the environment switches it off.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from threading import Lock

import torch
from jaxtyping import Float
from torch import Tensor, nn

from praesidium.hedging.state import State
from praesidium.policies.activations import relu, silu
from praesidium.policies.encoders import EncoderNetwork, Modulated, Sequential
from praesidium.policies.heads import HeadNetwork, SharedHead
from praesidium.policies.layers import Body, Dense
from praesidium.policies.outputs import Band, Free, Output, Residual, Trade

SOURCE = Path(__file__).with_name("rollout.cpp")
NATIVE = "-mcpu=native" if platform.machine() in {"aarch64", "arm64"} else "-march=native"
FLAGS = ("-std=gnu++17", "-O3", NATIVE, "-ffp-contract=fast", "-fPIC", "-shared")
COMPILERS = ("c++", "g++", "clang++")
ACTIVATIONS = (silu, relu)
OUTPUTS = (Residual, Free, Band, Trade)
PLAIN = (Tensor, nn.Parameter)
PATIENCE = 120  # seconds that a compilation may take

_lock = Lock()


class _Dense(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("weight", "bias", "inventory")),
        *((name, ctypes.c_int64) for name in ("inputs", "outputs")),
        *((f"weight_{name}", ctypes.c_int64) for name in ("replica", "input", "output")),
        *((f"bias_{name}", ctypes.c_int64) for name in ("replica", "output")),
        *((f"inventory_{name}", ctypes.c_int64) for name in ("replica", "output")),
    )


class _Rollout(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("steps", "replicas", "paths")),
        ("features", ctypes.c_void_p),
        *((f"features_{name}", ctypes.c_int64) for name in ("step", "replica", "path")),
        ("delta", ctypes.c_void_p),
        *((f"delta_{name}", ctypes.c_int64) for name in ("step", "replica", "path")),
        ("positions", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("activation", "output", "first", "regime", "layers", "modulators")),
        *((name, ctypes.c_float) for name in ("mean", "deviation", "least", "range")),
    )


def available() -> bool:
    """Whether rollouts without gradients run natively; compiles the function if need be."""
    return not _switched_off() and _kernel() is not None


def describe() -> str:
    """How rollouts without gradients run, for a message at the start."""
    if _switched_off():
        return "PyTorch (switched off)"
    if _kernel() is not None:
        return "native kernel"
    return "PyTorch (no C++ compiler)" if _compiler() is None else "PyTorch (the native kernel cannot be compiled)"


def positions(
    encoder: EncoderNetwork, head: HeadNetwork, output: Output, state: State
) -> Float[Tensor, "steps *replicas paths"] | None:
    """Positions of a network, without gradients; None where PyTorch has to compute them."""
    if type(head) is not SharedHead or type(output) not in OUTPUTS or _switched_off():
        return None
    held = torch.empty(state.delta.shape, dtype=torch.float32, device="cpu")
    try:
        job, layers = _job(encoder, head, output, state, held)
    except _Unknown:
        return None
    kernel = _kernel()
    if kernel is None or kernel(ctypes.byref(job), layers):
        return None
    return held


class _Unknown(Exception):
    """A network or a state that the function is not made for."""


def _job(
    encoder: EncoderNetwork, head: SharedHead, output: Output, state: State, held: Tensor
) -> tuple[_Rollout, ctypes.Array[_Dense]]:
    """Arguments of the function; they refer to the memory of the tensors, which must outlive the call."""
    features, delta = state.features, state.delta
    _require(_plain(features) and _plain(delta) and delta.ndim in {2, 3} and features.shape[:-1] == delta.shape)
    _require(held.numel() > 0 and (features.stride(-1) == 1 or features.shape[-1] == 1))
    replicas = delta.shape[1] if delta.ndim == 3 else None
    count, structural = features.shape[-1], state.structural
    spans = {"features": (0, count), "phi": (0, structural), "context": (structural, count - structural)}
    modulators, modulation = [], 0.0
    if type(encoder) is Sequential:
        body, (first, inputs) = encoder.body, spans[encoder.inputs]
    elif type(encoder) is Modulated:
        body, (first, inputs) = encoder.phi, spans["phi"]
        modulators, modulation = _perceptron(encoder.context, count - structural, replicas), encoder.modulation
        modulators.append(_dense(encoder.factor, modulators[-1].outputs, replicas))
        _require(encoder.context.activation is body.activation and encoder.context.inventory is None)
    else:
        raise _Unknown
    _require(body.activation in ACTIVATIONS)
    layers = _perceptron(body, inputs, replicas)
    last = _dense(head.layer, layers[-1].outputs, replicas)
    _require(last.outputs == output.outputs and (not modulators or modulators[-1].outputs == last.inputs))
    mean, deviation = state.inventory
    job = _Rollout(
        len(delta),
        replicas or 1,
        delta.shape[-1],
        features.data_ptr(),
        *_strides(features, 1),
        delta.data_ptr(),
        *_strides(delta, 0),
        held.data_ptr(),
        ACTIVATIONS.index(body.activation),
        OUTPUTS.index(type(output)),
        first,
        structural,
        len(layers),
        len(modulators),
        mean,
        deviation,
        1 - modulation,
        2 * modulation,
    )
    every = [*layers, *modulators, last]
    return job, (_Dense * len(every))(*every)


def _strides(values: Tensor, after: int) -> tuple[int, int, int]:
    """Strides of the days, the replicas and the paths, which are followed by other axes."""
    by_axis = values.stride()[: values.ndim - after]
    return by_axis[0], by_axis[1] if len(by_axis) == 3 else 0, by_axis[-1]


def _perceptron(body: Body, inputs: int, replicas: int | None) -> list[_Dense]:
    layers = [_dense(body.first, inputs, replicas, body.inventory)]
    for layer in body.rest:
        layers.append(_dense(layer, layers[-1].outputs, replicas))
    return layers


def _dense(layer: nn.Module, inputs: int, replicas: int | None, inventory: Tensor | None = None) -> _Dense:
    if type(layer) is not Dense:
        raise _Unknown
    weight, bias = layer.weight, layer.bias
    outputs = weight.shape[-1]
    by_weight, by_bias = _parameter(weight, (inputs, outputs), replicas), _parameter(bias, (outputs,), replicas)
    by_inventory = (0, 0, 0) if inventory is None else _parameter(inventory, (1, outputs), replicas)
    return _Dense(
        weight.data_ptr(),
        bias.data_ptr(),
        None if inventory is None else inventory.data_ptr(),
        inputs,
        outputs,
        *by_weight,
        *by_bias,
        by_inventory[0],
        by_inventory[2],
    )


def _parameter(values: Tensor, shape: tuple[int, ...], replicas: int | None) -> tuple[int, ...]:
    """Strides of the replicas, which may share a parameter, and of its axes."""
    _require(_plain(values))
    if values.shape == shape:
        return 0, *values.stride()
    _require(values.shape == (replicas, *shape))
    return values.stride()


def _plain(values: Tensor) -> bool:
    return type(values) in PLAIN and values.dtype is torch.float32 and values.is_cpu and values.layout is torch.strided


def _require(condition: bool) -> None:
    if not condition:
        raise _Unknown


def _switched_off() -> bool:
    return os.environ.get("PRAESIDIUM_NATIVE") == "0"


def _kernel() -> Callable[..., int] | None:
    with _lock:  # threads that come at once wait for one compilation
        return _load()


@cache
def _load() -> Callable[..., int] | None:
    """The compiled function; if there is none, one notice in the life of the process."""
    compiler = _compiler()
    if compiler is None:
        return _notice("no C++ compiler was found (looked for $CXX, " + ", ".join(COMPILERS) + ")")
    try:
        library = _library(compiler)
    except subprocess.CalledProcessError as error:
        complaint = next((line for line in error.stderr.splitlines() if "error" in line), f"exit {error.returncode}")
        return _notice(f"the native kernel cannot be compiled with {shlex.join(compiler)} ({complaint.strip()})")
    except (OSError, subprocess.TimeoutExpired) as error:
        return _notice(f"the native kernel cannot be made ({error})")
    function = library.praesidium_rollout
    function.argtypes, function.restype = (ctypes.POINTER(_Rollout), ctypes.POINTER(_Dense)), ctypes.c_int
    return function


def _notice(reason: str) -> None:
    logging.getLogger("praesidium").warning("Rollouts run in plain PyTorch, at about half the speed: %s.", reason)


def _compiler() -> list[str] | None:
    named = [shlex.split(os.environ.get("CXX", "")), *([one] for one in COMPILERS)]
    return next((command for command in named if command and shutil.which(command[0])), None)


def _library(compiler: list[str]) -> ctypes.CDLL:
    """From the user's cache; in a folder of this process where that cannot be written, or run from."""
    try:
        base = os.environ.get("XDG_CACHE_HOME")
        folder = (Path(base) if base else Path.home() / ".cache") / "praesidium"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _compiled(compiler, folder)
    except (OSError, RuntimeError):  # RuntimeError: there is no home
        with tempfile.TemporaryDirectory(prefix="praesidium-") as folder:
            return _compiled(compiler, Path(folder))


def _compiled(compiler: list[str], folder: Path) -> ctypes.CDLL:
    """Loads the library from a folder, compiled if it is not there.

    Its name tells what the compiler says of itself and of this machine's processor: machines may share the folder.
    """
    machine = _run([*compiler, *FLAGS, "-dM", "-E", "-x", "c++", os.devnull])
    key = hashlib.sha256("\0".join([SOURCE.read_text(), *compiler, *FLAGS, machine]).encode()).hexdigest()[:20]
    path = folder / f"rollout-{key}.so"
    if not path.exists():
        handle, draft = tempfile.mkstemp(suffix=".so", dir=folder)
        os.close(handle)
        try:
            _run([*compiler, *FLAGS, "-o", draft, str(SOURCE)])
            os.replace(draft, path)  # whole or not at all, whoever else is compiling
        finally:
            Path(draft).unlink(missing_ok=True)
    return ctypes.CDLL(str(path))


def _run(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, errors="replace", timeout=PATIENCE).stdout
