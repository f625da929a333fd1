import math
from pathlib import Path

import luigi
import pytest

from tasks.runtime.list_parameters import (
    ChoiceListParameter,
    IntListParameter,
    PathListParameter,
    SizeListParameter,
    StrListParameter,
)
from tasks.runtime.parameters import ChoiceParameter, FloatParameter, IntParameter, OptionalSizeParameter

STREAMS = IntListParameter(at_least=1, auto=-1)


def read(parameter, text):
    return parameter.normalize(parameter.parse(text))


@pytest.mark.parametrize(
    ("parameter", "text", "value"),
    [
        (IntParameter(at_least=1, at_most=100), "100", 100),
        (FloatParameter(at_least=0, below=1), "0", 0.0),
        (ChoiceParameter(choices=["", "y"]), "y", "y"),
        (IntListParameter(at_least=1), "1, 2,4", (1, 2, 4)),
        (STREAMS, "1,auto", (1, -1)),
        (StrListParameter(), "Set5, ./my photos,", ("Set5", "./my photos")),
        (StrListParameter(), "", ()),
        (PathListParameter(), "/data,~/more", (Path("/data"), Path.home() / "more")),
        (ChoiceListParameter(choices=["fp32", "int8"]), "int8", ("int8",)),
        (SizeListParameter(), "960x540,24x16", ((540, 960), (16, 24))),
        (OptionalSizeParameter(), "960x540", (540, 960)),
        (OptionalSizeParameter(), "", None),
    ],
)
def test_a_text_becomes_a_value(parameter, text, value):
    assert read(parameter, text) == value
    assert read(parameter, parameter.serialize(value)) == value


@pytest.mark.parametrize(
    ("parameter", "text"),
    [
        (IntParameter(at_least=1), "0"),
        (IntParameter(at_most=100), "101"),
        (IntParameter(), "1.5"),
        (FloatParameter(at_least=0, at_most=1), "1.1"),
        (FloatParameter(at_least=0, at_most=1), "-0.1"),
        (FloatParameter(above=0), "0"),
        (FloatParameter(below=1), "1"),
        (FloatParameter(), "nan"),
        (FloatParameter(), "inf"),
        (ChoiceParameter(choices=["rgb", "y"]), "x"),
        (IntListParameter(at_least=1), "1,0"),
        (IntListParameter(), "1;2"),
        (IntListParameter(), "auto"),
        (STREAMS, "-1"),
        (StrListParameter(min_items=1), " , "),
        (ChoiceListParameter(choices=["fp32", "int8"]), "fp32,int4"),
        (SizeListParameter(max_side_px=100), "24x101"),
        (SizeListParameter(), "24"),
        (OptionalSizeParameter(), "0x540"),
        (OptionalSizeParameter(), "960x100000"),
    ],
)
def test_an_invalid_text_is_refused(parameter, text):
    with pytest.raises(ValueError):
        read(parameter, text)


@pytest.mark.parametrize("value", [math.nan, -0.1, 1.1])
def test_a_value_given_in_python_is_checked_too(value):
    class Toaster(luigi.Config):
        heat = FloatParameter(default=0.5, at_least=0, at_most=1)

    with pytest.raises(ValueError, match="a number from 0 to 1"):
        Toaster(heat=value)


def test_a_single_text_is_no_list():
    with pytest.raises(ValueError, match="names or paths"):
        StrListParameter().normalize("Set5")


@pytest.mark.parametrize(
    ("parameter", "expected"),
    [
        (IntParameter(), "a whole number"),
        (IntParameter(at_least=16, at_most=8192), "a whole number from 16 to 8192"),
        (FloatParameter(at_least=0, below=1), "a number from 0 to below 1"),
        (FloatParameter(at_least=0.5), "a number of 0.5 or more"),
        (FloatParameter(above=0), "a number above 0"),
        (FloatParameter(above=0, at_most=86_400), "a number above 0 and at most 86400"),
        (ChoiceParameter(choices=["", "rgb", "y"]), "one of rgb, y"),
        (STREAMS, "whole numbers of 1 or more or auto, with commas between them"),
    ],
)
def test_each_parameter_describes_its_values(parameter, expected):
    assert parameter.expected == expected


def test_choices_are_described_in_the_order_given():
    assert ChoiceParameter(choices="cab", description="letter").description == "letter; one of c, a, b"
