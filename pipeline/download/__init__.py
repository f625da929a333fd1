"""pipeline/download."""
