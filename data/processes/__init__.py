"""data/processes."""
