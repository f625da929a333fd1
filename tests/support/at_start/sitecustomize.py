"""Python imports this module at its start where this folder is on PYTHONPATH: it lets a suite of faults look inside."""

import os
import select
import time

import at_moment

if "FAKETIME_TIMESTAMP_FILE" in os.environ:
    # After a jump of the clock libfaketime fails what time.sleep waits with, which no real jump does.
    time.sleep = lambda seconds: select.select([], [], [], seconds) and None

at_moment.listen()
