"""The names of the crop policies: cheap to import, for the configuration and the planner alike."""

POLICIES = ("random", "grid", "best")
"""random: as many boxes as fit, at random, without overlap. grid: a regular grid. best: the boxes of highest detail,
found while packing."""
