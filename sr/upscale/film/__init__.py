"""Films: decoded, enlarged and encoded at once, in segments that survive a kill, joined with all else the film holds."""
