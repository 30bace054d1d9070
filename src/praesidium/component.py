"""Settings that are chosen by name: the one way in which Praesidium is extended.

A *family* is a direct subclass of :class:`Component` (``class Objective(Component)``); a *member* is a subclass of
the family with a ``kind`` (``class VREx(Objective, kind="vrex")``). Defining the member registers it. From then on
``{kind: vrex, beta: 10}`` picks it wherever the family is asked for, in YAML and on the command line.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import wraps
from numbers import Integral, Real
from types import UnionType
from typing import Any, ClassVar, TypeVar, Union, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

C = TypeVar("C", bound="Component")
F = TypeVar("F", bound=Callable[..., Any])


class InputError(ValueError):
    """What the user gave cannot be used; the message names the argument, the value, the bound and the mend."""


def unknown(what: str, name: object, known: Iterable[str]) -> str:
    """One sentence for a name that does not exist: the nearest one, then all known ones."""
    names = sorted(known)
    if not names:
        return f"{what}: {str(name)!r} is unknown; there is nothing to set or choose here"
    near = get_close_matches(str(name), names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ";"
    return f"{what}: {str(name)!r} is unknown{hint} known: {', '.join(names)}"


def whole(value: Any, least: float = 1) -> bool:
    """Whether it is a whole number of at least so much, Python's or NumPy's; True and False are none."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def check_whole(caller: str, argument: str, value: Any, *, least: int) -> None:
    """Refuse what is not a whole number, or is below ``least``."""
    if not whole(value, least):
        fault = "too few" if whole(value, -math.inf) else "not a whole number"
        raise InputError(f"{caller}: {argument}={value!r} is {fault}; say at least {least}")


def real(value: Any) -> bool:
    """Whether it is a number, Python's or NumPy's; True and False are none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def reals(values: Any) -> bool:
    """Whether it is a sequence of numbers, or an array of them with one axis."""
    return (isinstance(values, Sequence) or getattr(values, "ndim", 0) == 1) and all(map(real, values))


def wholes(values: Any, least: float = 1) -> bool:
    """Whether it is a sequence of whole numbers of at least so much, or an array of them with one axis."""
    return reals(values) and all(whole(value, least) for value in values)


def check_name(name: str, value: Any, known: Iterable[str]) -> None:
    """Refuse a name that is not among the known ones."""
    if not isinstance(value, str) or value not in known:
        raise InputError(unknown(name, value, known))


class Component(BaseModel):
    """Frozen, validated settings of one member of a family.

    Two components with equal settings are equal and have the same :meth:`fingerprint`.
    Unknown fields are refused. :meth:`settings` and ``model_validate`` are inverse to each other.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    kind: ClassVar[str] = ""
    registry: ClassVar[dict[str, type[Component]]] = {}

    def __init_subclass__(cls, kind: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if Component in cls.__bases__:
            cls.registry = {}
        if kind:
            other = cls.registry.get(kind)
            if other is not None and (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
                raise TypeError(f"kind {kind!r} is taken by {other.__module__}.{other.__qualname__}")
            cls.kind = kind
            cls.registry[kind] = cls

    @model_validator(mode="wrap")
    @classmethod
    def _dispatch(cls, value: Any, handler: Any) -> Any:
        """Let ``{kind: name, ...}`` build the member of that name, also where only the family is known."""
        if not isinstance(value, Mapping):
            return handler(value)
        fields = dict(value)
        kind = fields.pop("kind", cls.kind)
        if kind == cls.kind:
            if cls.registry and not kind:
                raise ValueError(f"kind is missing; known: {', '.join(sorted(cls.registry))}")
            return handler(fields)
        member = cls.registry.get(str(kind))
        if member is None:
            raise ValueError(unknown("kind", kind, cls.registry))
        if not issubclass(member, cls):
            raise ValueError(f"kind {kind!r} does not fit here; {cls.kind!r} is needed")
        return member.model_validate(fields)

    def settings(self) -> dict[str, Any]:
        """Plain data (str, int, float, bool, None, list, dict) from which an equal component can be built."""
        own = {name: _plain(getattr(self, name)) for name in type(self).model_fields}
        return {"kind": self.kind, **own} if self.kind else own

    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that change when a setting changes."""
        return fingerprint(self.settings())


def fingerprint(settings: Mapping[str, Any]) -> str:
    """Hash of plain settings, independent of the order of keys."""
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def build(family: type[C], settings: Mapping[str, Any], where: str = "") -> C:
    """Validate settings into a component.

    Raises:
        InputError: one sentence for each setting that is unknown or out of bounds.
    """
    try:
        return family.model_validate(settings)
    except ValidationError as error:
        raise InputError("\n".join(_sentence(family, settings, issue, where) for issue in error.errors())) from None


def remember(size: int) -> Callable[[F], F]:
    """Keep the last ``size`` results of a function of components and plain values, told apart by their settings."""

    def decorate(function: F) -> F:
        kept: OrderedDict[str, Any] = OrderedDict()

        @wraps(function)
        def remembering(*arguments: Any) -> Any:
            key = json.dumps([_plain(one) for one in arguments], sort_keys=True)
            if key not in kept:
                kept[key] = function(*arguments)
                while len(kept) > size:
                    kept.popitem(last=False)
            return kept[key]

        return cast(F, remembering)

    return decorate


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"train": {"steps": 3}}`` as ``{"train.steps": 3}``."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _plain(value: Any) -> Any:
    if isinstance(value, Component):
        return value.settings()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


def _sentence(family: type[Component], settings: Mapping[str, Any], issue: Any, where: str) -> str:
    path = [str(part) for part in (where, *issue["loc"]) if part != ""]
    given = issue["input"]
    if issue["type"] == "extra_forbidden":
        known = _fields_at(family, settings, issue["loc"][:-1])
        return unknown(".".join(path[:-1]) or family.__name__, path[-1], known)
    text = issue["msg"].removeprefix("Value error, ")
    if issue["type"] == "value_error":
        return f"{'.'.join(path)}{'.' if path and text.startswith('kind') else ': ' if path else ''}{text}"
    text = text[0].lower() + text[1:]
    return f"{'.'.join(path)}: {text}" + ("" if issue["type"] == "missing" else f", not {given!r}")


def _fields_at(family: type[Component], settings: Any, loc: Iterable[Any]) -> list[str]:
    """Names of the settings of the component at ``loc``, as far as annotations and kinds lead there."""
    inside: tuple[Any, ...] = (family,)
    for part in loc:
        here = _component(inside, settings)
        annotation = here.model_fields[part].annotation if here else next(filter(get_args, inside))
        union = get_origin(annotation) in (Union, UnionType)
        inside = get_args(annotation) if union or not here else (annotation,)
        settings = settings[part]
    return sorted(getattr(_component(inside, settings), "model_fields", {}))


def _component(annotations: Iterable[Any], settings: Any) -> type[Component] | None:
    """The first component among annotations: the member that its settings name."""
    for one in annotations:
        if isinstance(one, type) and issubclass(one, Component):
            return one.registry.get(str(settings.get("kind", "")), one)
    return None
