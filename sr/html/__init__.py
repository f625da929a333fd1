"""sr/html."""
