"""From shards to a model and its numbers: loader, models, training, evaluation, export, upscaling.

The only package that imports torch, deepspeed, DALI, onnx, openvino and nncf. Importing `sr` itself loads
none of them, and it never imports `pipeline`, `tasks` or luigi.
"""
