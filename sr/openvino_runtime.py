"""The openvino module, imported so that it tells nobody: import it from here, and nncf after it.

OpenVINO and NNCF report their use over the network on import and on every conversion, unless
openvino_telemetry is absent. To them it is absent; no other import is affected.
"""

import sys

sys.modules.setdefault(
    "openvino_telemetry", None
)  # None: Python's way to say that a module cannot be imported

import openvino  # noqa: E402

__all__ = ["openvino"]
