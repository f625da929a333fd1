"""sr/imaging."""
