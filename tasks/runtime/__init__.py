"""tasks/runtime."""
