"""From a trained model to files to deploy: ONNX, and OpenVINO IR in fp32, fp16 and int8, each checked for accuracy.

`to_onnx` and `to_openvino` are the entry points. `parity` and `accuracy` compare an exported file with the network;
`int8`, `search`, `quantize` and `calibration` make the int8 model; `ir_file`, `ir_graph` and `onnx_graph` edit graphs.
"""
