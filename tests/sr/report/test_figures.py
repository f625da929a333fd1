"""Choosing the file to deploy, and figures that JSON can hold. How records are gathered: see test_report."""

import math

import pytest

from sr.report.figures import choose_file, finite, in_order

FILES = {
    form: {"path": form, "bytes": size}
    for form, size in {"torch": 9, "onnx": 5, "fp16": 4, "int8": 3}.items()
}


def _benchmark(**differences):
    return {"forms": {form: {"difference_db": value} for form, value in differences.items()}}


def _choose(milliseconds, *benchmarks):
    timings = {form: {"median_ms": value} for form, value in milliseconds.items()}
    chosen = choose_file(FILES, {str(number): one for number, one in enumerate(benchmarks)}, timings)
    return chosen and chosen["form"]


CLOSE = _benchmark(torch=0.0, onnx=0.0, fp16=-0.01, int8=-0.2)


@pytest.mark.parametrize(
    ("milliseconds", "benchmarks", "form"),
    [
        ({"torch": 1, "onnx": 9, "fp16": 5, "int8": 4}, [CLOSE], "int8"),  # torch is no exported file
        ({"onnx": 9, "fp16": 4, "int8": 5}, [CLOSE], "fp16"),
        ({"onnx": 9, "fp16": 5, "int8": 4}, [CLOSE, _benchmark(onnx=0.0, fp16=0.0, int8=-0.201)], "fp16"),
        ({"onnx": 9, "fp16": 5, "int8": 4}, [CLOSE, _benchmark(onnx=0.0)], "onnx"),  # judged everywhere
        ({"onnx": 9}, [CLOSE], "onnx"),  # timed before not timed
        ({}, [CLOSE], "int8"),  # then the smallest
        ({"fp16": 5, "int8": 5}, [CLOSE], "int8"),
        ({"int8": 5}, [_benchmark(onnx=None, fp16=None, int8=None)], None),
        ({"int8": 5}, [], None),
    ],
)
def test_choice(milliseconds, benchmarks, form):
    assert _choose(milliseconds, *benchmarks) == form


def test_what_json_cannot_hold_becomes_null():
    value = {"a": [1, math.inf, {"b": -math.inf}], "c": math.nan, "d": "inf", "e": 0.5}
    assert finite(value) == {"a": [1, None, {"b": None}], "c": None, "d": "inf", "e": 0.5}


def test_forms_stand_in_the_tables_order():
    assert in_order(["int8", "zeta", "fp32", "alpha", "torch"]) == ["torch", "fp32", "int8", "alpha", "zeta"]
