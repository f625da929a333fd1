"""From raw material to shards: download, index, plan, crop, screen, pack, select.

Knows nothing of Luigi or torch: plain functions over files.
"""
