"""Training pairs: from the crops of a selection to batches of LR and HR patches.

    settings.py     what decides the pairs; patches.py: how large the patches of a step are
    sampler.py      chooses the pairs of a step: a pure function of the settings and the step's number
    crop_cache.py   has their crops, which crop_reader.py reads from the shards and decodes
    augment.py      cuts, turns and brightens whole batches, and makes the LR images
    batches.py      puts these together, one batch ahead of the network

Importing this package loads none of its modules.
"""
