"""Training: shards to batches, an optimizer's step, a run that can be taken up again, and what starts it."""
