"""Doors from other programs: `spandrel` lets programs built on it load our networks."""
