"""sr/report."""
