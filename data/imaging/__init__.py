"""data/imaging."""
