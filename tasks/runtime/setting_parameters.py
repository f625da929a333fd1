"""Makes Luigi's parameters of settings that are declared once, as fields of a dataclass (`data.setting`)."""

import dataclasses
from collections.abc import Collection
from typing import Any

import luigi

from data.setting import Setting, settings_of
from tasks.runtime.optional_parameters import OptionalFloatParameter, OptionalIntParameter
from tasks.runtime.parameters import BoolParameter, ChoiceParameter, FloatParameter, IntParameter

_NUMBERS = {int: (IntParameter, OptionalIntParameter), float: (FloatParameter, OptionalFloatParameter)}


def parameters_of(record: type, found_elsewhere: Collection[str] = (), elsewhere: str = "") -> dict[str, Any]:
    """Return a parameter for each setting of a dataclass, by name.

    Args:
        record: the dataclass.
        found_elsewhere: the settings that are empty by default; their values are then found elsewhere.
        elsewhere: where, for their descriptions.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(record)}
    made = {}
    for name, setting in settings_of(record).items():
        optional = name in found_elsewhere
        text = f"{setting.description}; empty: {elsewhere}" if optional else setting.description
        made[name] = _parameter(setting, defaults[name], optional, text)
    return made


def _parameter(setting: Setting, default: Any, optional: bool, description: str) -> Any:
    if setting.choices:
        choices = ["", *setting.choices] if optional else setting.choices
        return ChoiceParameter(default="" if optional else default, choices=choices, description=description)
    if isinstance(default, bool):
        return BoolParameter(default=default, description=description)
    if isinstance(default, str):
        return luigi.Parameter(default="" if optional else default, description=description)
    required, empty = _NUMBERS[type(default)]
    value = None if optional else default
    return (empty if optional else required)(default=value, description=description, **setting.bounds)
