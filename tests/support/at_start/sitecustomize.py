"""Python imports this module at its start where this folder is on PYTHONPATH: it lets a suite of faults look inside."""

import at_moment

at_moment.listen()
