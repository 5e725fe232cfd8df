"""Type checks that every options dataclass shares: YAML and the command line hand over whatever was typed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints


def as_tuple(value: Any) -> Any:
    """Turn a YAML list into a tuple, which keeps options hashable; leave anything else to :func:`require_types`."""
    return tuple(value) if isinstance(value, list | tuple) else value


def plain(value: Any) -> Any:
    """Options as JSON holds them, with every dataclass within as a mapping: Kedro has made some of them of the YAML."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain(dataclasses.asdict(value))
    if isinstance(value, Mapping):
        return {name: plain(entry) for name, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, list | tuple) else value


def require_types(options: Any, prefix: str) -> None:
    """Check the fields of an options dataclass against their annotations: ``int``, ``float``, ``bool`` and tuples of them.

    A whole number passes for a float; nothing else passes for another kind.

    Raises:
        ValueError: a field is of another type; the message names it as it stands in the configuration.
    """
    hints = get_type_hints(type(options))
    for field in dataclasses.fields(options):
        value, kind = getattr(options, field.name), hints[field.name]
        if get_origin(kind) is tuple:
            parts = [part for part in get_args(kind) if part is not Ellipsis]
            fits = isinstance(value, tuple) and all(_fits(entry, parts[0]) for entry in value)
            fits = fits and (Ellipsis in get_args(kind) or len(value) == len(parts))
        else:
            fits = _fits(value, kind)
        if not fits:
            raise ValueError(f"{prefix}.{field.name} must be {_words(kind)}, received {value!r}")


def _fits(value: Any, kind: Any) -> bool:
    if NoneType in get_args(kind):
        return value is None or any(_fits(value, part) for part in get_args(kind) if part is not NoneType)
    if kind is bool:
        return isinstance(value, bool)
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    return True


def _words(kind: Any) -> str:
    if get_origin(kind) is tuple:
        return f"a list of {_words(get_args(kind)[0]).removeprefix('a ')}s"
    if NoneType in get_args(kind):
        return " or ".join(_words(part) for part in get_args(kind) if part is not NoneType) + " or null"
    return {bool: "true or false", int: "a whole number", float: "a number"}.get(kind, "a value")
