"""The file to deploy is the fastest export that is close to PyTorch."""

import pytest

from sr.report.deployment import choose_file

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
