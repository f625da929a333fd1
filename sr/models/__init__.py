"""The networks: their presets, how they are built, and how a file of weights is recognized.

    presets.py             the table of presets; plain data, loads no torch
    registry.py            preset or description → network; tensor shapes → description
    network.py             SuperResolutionNetwork: uint8 in, uint8 out; the only place that converts value ranges
    color_spaces.py        the color spaces that it converts to and from
    vapsr.py, realtime.py  the architectures: float in, float out
    reparameterization.py  extra branches for training, and how they are fused into plain 3x3 kernels
    luma_interface.py      a luma network with planes of video luma as input and output
    receptive_field.py     how far a network sees, and the halo that tiles need
    checkpoint.py          weights of a run or a file → model.safetensors and model.json → network
    model_contents.py      what a file is that is given as a model and is none, for the words of a refusal
    metadata.py            what exported files say about themselves

Importing this package loads none of its modules.
"""
