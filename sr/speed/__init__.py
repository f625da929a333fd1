"""How fast a finished model runs on this machine, beside the plain way of running it and the machine's own limits."""
