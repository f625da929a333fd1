"""Codec gain: from which bitrate down half the pixels and an upscaler beat all of them, and by how much.

`clip` opens a clip, `halve` makes its frames half as large, `encode_point` encodes one size at one constant rate
factor, `measure_point` decodes, upscales and compares with the original, frame by frame (`video_metrics`). `curves`
computes Bjøntegaard deltas and crossovers, `compare_points` does so for all that was measured, `gain_page` shows it,
and `gain_report` writes it all down.
"""
