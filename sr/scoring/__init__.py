"""Score crops by networks that need no reference: pyiqa's metrics, and ONNX files."""
