"""From finished crop datasets to the crops that are trained on. No shard is touched."""
