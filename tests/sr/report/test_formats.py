"""The order of formats in tables."""

from sr.report.formats import sort_formats


def test_formats_are_sorted_in_the_order_of_the_table():
    assert sort_formats(["int8", "zeta", "fp32", "alpha", "torch"]) == [
        "torch",
        "fp32",
        "int8",
        "alpha",
        "zeta",
    ]
