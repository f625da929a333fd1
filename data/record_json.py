"""Records to JSON data and back, so that what comes back is equal, or is refused in words.

Knows the shapes of records (frozen dataclasses of plain values), and none of them by name.
"""

import dataclasses
import enum
import typing
from typing import Any, TypeVar

from data.errors import UserError
from data.records import SCHEMA

R = TypeVar("R")

_PLAIN = frozenset({str, int, float, bool, type(None)})


def to_plain(record: Any) -> Any:
    """Return a record as JSON data: dicts, lists, strings, numbers.

    As `dataclasses.asdict`, several times faster: the values are plain and frozen, so none has to be copied.
    """
    if type(record) in _PLAIN:
        return record
    if dataclasses.is_dataclass(record):
        return {name: to_plain(value) for name, value in vars(record).items()}
    if isinstance(record, tuple | list):
        return [to_plain(value) for value in record]
    if isinstance(record, dict):
        return {name: to_plain(value) for name, value in record.items()}
    return record


def from_plain(kind: type[R], value: Any, where: str) -> R:
    """Build the record `kind` from JSON data, refusing what does not fit.

    Args:
        kind: a dataclass of data.records.
        value: what `to_plain` gave, after a trip through JSON.
        where: the file it came from, for the error.

    Raises:
        UserError: fields are missing or unknown, a value has another type, or the schema is another one.
    """
    return _build(kind, value, where)


def _build(kind: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(kind)
    if dataclasses.is_dataclass(kind):
        return _build_record(kind, value, where)
    if origin is tuple:
        inner = typing.get_args(kind)[0]
        return tuple(_build(inner, item, where) for item in _typed(list, value, where))
    if origin is dict:
        inner = typing.get_args(kind)[1]
        return {key: _build(inner, item, where) for key, item in _typed(dict, value, where).items()}
    if isinstance(kind, type) and issubclass(kind, enum.StrEnum):
        try:
            return kind(value)
        except ValueError:
            expected = f"one of {', '.join(kind)}"
            remedy = "use the program's version that wrote it"
            raise UserError(expected, repr(value)[:60], where, remedy) from None
    if kind is float and type(value) is int:
        return float(value)
    return _typed(kind, value, where)


def _build_record(kind: Any, value: Any, where: str) -> Any:
    value = _typed(dict, value, where)
    version = getattr(kind, "VERSION", SCHEMA)
    if value.get("schema", version) != version:
        found = f"version {value['schema']}"
        raise UserError(
            f"{kind.__name__} version {version}", found, where, "use the program's version that wrote it"
        )
    hints = typing.get_type_hints(kind)
    known = {field.name for field in dataclasses.fields(kind)}
    needed = {field.name for field in dataclasses.fields(kind) if field.default is dataclasses.MISSING}
    if not needed <= set(value) <= known:
        odd = sorted(needed - set(value)) or sorted(set(value) - known)
        raise UserError(
            f"the fields of {kind.__name__}", f"missing or unknown {odd}", where, "make the file again"
        )
    return kind(**{name: _build(hints[name], item, where) for name, item in value.items()})


def _typed(kind: type, value: Any, where: str) -> Any:
    if type(value) is not kind:
        raise UserError(kind.__name__, repr(value)[:60], where, "make the file again")
    return value
