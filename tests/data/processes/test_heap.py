import subprocess
import sys

SCRIPT = """
import resource
import numpy as np
from data.processes.heap import keep_freed_memory

def count_page_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        arrays = [np.ones(900_000, np.uint8) for _ in range(4)]
        del arrays
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

without = count_page_faults()
kept = keep_freed_memory()
count_page_faults()
print(without, int(kept), count_page_faults())
"""


def test_arrays_that_are_made_again_and_again_cost_no_page_faults():
    """Each array has 220 pages, so 50 rounds of 4 arrays fill up to 44,000 of them."""
    printed = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    without, kept, with_it = map(int, printed.stdout.split())
    assert kept and without > 5_000 and with_it < 100
