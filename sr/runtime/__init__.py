"""Running a model or a filter on images: one `Upscaler` interface for torch, ONNX Runtime, OpenVINO and Pillow.

`load` finds the upscaler for a name or a file, `network_upscalers` runs networks, `filters` holds bicubic and Lanczos,
`tiling` splits large images, and `openvino_runtime` with `compiled_cache` compiles models for a device.
"""
