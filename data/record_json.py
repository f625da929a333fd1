"""Convert records to JSON data and back. What comes back is equal, or is refused with an error.

It handles any frozen dataclass of plain values, and knows no record by name.
"""

import dataclasses
import enum
import typing
from typing import Any, TypeVar, cast

from data.errors import UserError
from data.records import SCHEMA

R = TypeVar("R")

_PLAIN = frozenset({str, int, float, bool, type(None)})


def to_plain(record: Any) -> Any:
    """Return a record as JSON data: dicts, lists, strings and numbers.

    Like `dataclasses.asdict`, but several times faster: the values are plain and frozen, so none is copied.
    """
    if type(record) in _PLAIN:
        return record
    if dataclasses.is_dataclass(record):
        # Most values are plain; a call for each would take twice as long.
        return {
            name: value if type(value) in _PLAIN else to_plain(value) for name, value in vars(record).items()
        }
    if isinstance(record, tuple | list):
        return [to_plain(value) for value in record]
    if isinstance(record, dict):
        return {name: to_plain(value) for name, value in record.items()}
    return record


def from_plain(kind: type[R], value: Any, where: str) -> R:
    """Build a record from JSON data.

    Args:
        kind: the record's dataclass.
        value: what `to_plain` returned, after a trip through JSON.
        where: the file that the data comes from, for the error message.

    Raises:
        UserError: a field is missing, unknown or of another type, or the schema version differs.

    Example:
        >>> box = Box(top=0, left=8, height=16, width=16)
        >>> from_plain(Box, to_plain(box), "boxes.json") == box
        True
    """
    return cast(R, _build(kind, value, where))


def _build(kind: Any, value: Any, where: str) -> Any:
    """Build a value of type `kind`: a dataclass, tuple, dict, enum or plain type."""
    origin = typing.get_origin(kind)
    if dataclasses.is_dataclass(kind):
        return _build_record(kind, value, where)
    if origin is tuple:
        inner = typing.get_args(kind)[0]
        return tuple(_build(inner, item, where) for item in _require_type(list, value, where))
    if origin is dict:
        inner = typing.get_args(kind)[1]
        return {key: _build(inner, item, where) for key, item in _require_type(dict, value, where).items()}
    if isinstance(kind, type) and issubclass(kind, enum.StrEnum):
        try:
            return kind(value)
        except ValueError:
            message = f"{where} contains {repr(value)[:60]}, which is none of {', '.join(kind)}"
            raise UserError(message, "Use the program version that wrote it") from None
    if kind is float and type(value) is int:
        return float(value)
    return _require_type(kind, value, where)


def _build_record(kind: Any, value: Any, where: str) -> Any:
    value = _require_type(dict, value, where)
    version = getattr(kind, "VERSION", SCHEMA)
    if value.get("schema", version) != version:
        raise UserError(
            f"{where} holds {kind.__name__} version {value['schema']}, but this program reads version {version}",
            "Use the program version that wrote it",
        )
    hints = typing.get_type_hints(kind)
    known = {field.name for field in dataclasses.fields(kind)}
    required = {
        field.name
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    if not required <= set(value) <= known:
        missing, unknown = sorted(required - set(value)), sorted(set(value) - known)
        problem = f"{', '.join(missing)} missing" if missing else f"{', '.join(unknown)} unknown"
        message = f"{where} does not hold a valid {kind.__name__}: {problem}"
        raise UserError(message, "Delete the file and run again to make it anew")
    return kind(**{name: _build(hints[name], item, where) for name, item in value.items()})


def _require_type(kind: type, value: Any, where: str) -> Any:
    if type(value) is not kind:
        message = f"{where} contains {repr(value)[:60]} in place of a value of type {kind.__name__}"
        raise UserError(message, "Delete the file and run again to make it anew")
    return value
