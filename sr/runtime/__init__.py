"""sr/runtime."""
