"""ONNX Runtime without telemetry.

Import onnxruntime from here: since 1.29 it reports models (names and hashes of their files, graphs and weights) and
sessions to its makers over the network, on Linux, too, and leaves a file with an id in the temporary folder, from the
moment it is imported. A value of ORT_DISABLE_TELEMETRY that is set outside stays.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

__all__ = ["onnxruntime"]
