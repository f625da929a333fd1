"""The version of the whole, in the one place that packaging and records read it from."""

VERSION = "0.1.0"
