"""From a finished model to files to deploy: ONNX and OpenVINO IR, their graphs, int8, and the proof that they agree."""
