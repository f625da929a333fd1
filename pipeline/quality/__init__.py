"""The quality metrics of crops, one kind a module. `pipeline.quality_metrics` puts them together.

Every metric is computed from whole numbers, or from float64 values one at a time that are rounded with room to spare,
so equal pixels give equal values on every processor.
"""
