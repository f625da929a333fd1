"""From raw material to training shards: download, index, plan, crop, filter, pack, verify, select.

Plain functions over files. Knows nothing of Luigi or torch.
"""
