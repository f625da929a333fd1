"""The file to deploy, and figures that JSON can hold; test_report covers how records are gathered."""

import math

import pytest

from sr.report.figures import choose_file, replace_infinite, sort_formats

FILES = {
    name: {"path": name, "bytes": size}
    for name, size in {"torch": 9, "onnx": 5, "fp16": 4, "int8": 3}.items()
}


def _benchmark(**differences):
    return {"models": {name: {"difference_db": value} for name, value in differences.items()}}


def _choose(milliseconds, *benchmarks):
    timings = {name: {"median_ms": value} for name, value in milliseconds.items()}
    chosen = choose_file(
        FILES, {str(number): benchmark for number, benchmark in enumerate(benchmarks)}, timings
    )
    return chosen and chosen["format"]


CLOSE = _benchmark(torch=0.0, onnx=0.0, fp16=-0.01, int8=-0.2)


@pytest.mark.parametrize(
    ("milliseconds", "benchmarks", "expected"),
    [
        ({"torch": 1, "onnx": 9, "fp16": 5, "int8": 4}, [CLOSE], "int8"),  # torch is not an exported file
        ({"onnx": 9, "fp16": 4, "int8": 5}, [CLOSE], "fp16"),
        ({"onnx": 9, "fp16": 5, "int8": 4}, [CLOSE, _benchmark(onnx=0.0, fp16=0.0, int8=-0.201)], "fp16"),
        ({"onnx": 9, "fp16": 5, "int8": 4}, [CLOSE, _benchmark(onnx=0.0)], "onnx"),  # evaluated everywhere
        ({"onnx": 9}, [CLOSE], "onnx"),  # timed before not timed
        ({}, [CLOSE], "int8"),  # then the smallest
        ({"fp16": 5, "int8": 5}, [CLOSE], "int8"),
        ({"int8": 5}, [_benchmark(onnx=None, fp16=None, int8=None)], None),
        ({"int8": 5}, [], None),
    ],
)
def test_the_fastest_close_file_is_chosen(milliseconds, benchmarks, expected):
    assert _choose(milliseconds, *benchmarks) == expected


def test_numbers_that_json_cannot_hold_become_null():
    value = {"a": [1, math.inf, {"b": -math.inf}], "c": math.nan, "d": "inf", "e": 0.5}
    assert replace_infinite(value) == {"a": [1, None, {"b": None}], "c": None, "d": "inf", "e": 0.5}


def test_formats_are_sorted_in_the_order_of_the_table():
    assert sort_formats(["int8", "zeta", "fp32", "alpha", "torch"]) == [
        "torch",
        "fp32",
        "int8",
        "alpha",
        "zeta",
    ]
