"""The networks: what they are called, how they are built, and how a file of weights is told apart.

    presets.py    the table of names; plain data, loads no torch
    registry.py   name or description → network; tensor shapes → description
    network.py    UpsamplingNetwork: uint8 in, uint8 out; the only place where value ranges convert
    colors.py    the color spaces that it converts to and from
    vapsr.py, realtime.py   the architectures: float in, float out
    branches.py   what a network learns with beside its 3x3 kernels, and how it is fused into them
    luma.py       the form of a luma network for videos

Importing this package loads none of its modules.
"""
