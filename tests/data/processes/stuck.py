"""Work whose thread is made to stick: stuck.py HOW FOLDER TIMEOUT_S. Writes FOLDER/begun when it sticks."""

import ctypes
import signal
import sys
import threading
from pathlib import Path

from data.atomic_files import atomic_file
from data.errors import UserError
from data.processes import watchdog as module
from data.processes.watchdog import Watchdog

how, folder, timeout_s = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])


def stick() -> None:
    """Never return: in native code that holds Python's lock, or in native code that does not."""
    (folder / "begun").touch()
    library = ctypes.PyDLL(None) if how == "holds Python's lock" else ctypes.CDLL(None)
    mutex = ctypes.create_string_buffer(64)  # zeros: an unlocked pthread_mutex_t
    for _ in range(2):
        library.pthread_mutex_lock(mutex)


def run() -> None:
    """Stick in a thread, and wait for it as the stages of a video do; or stick in the main thread."""
    failed = threading.Event()
    watchdog.on_stuck.append(lambda error: failed.set())
    watchdog.note("waiting for an upscaled frame", waits=True)
    if how == "main thread":
        with atomic_file(folder / "segment") as file:
            file.write(b"half")
            file.flush()
            watchdog.note("encoding a frame")
            stick()

    def work() -> None:
        watchdog.note("upscaling a frame")
        stick()

    thread = threading.Thread(target=work, name="upscale 1", daemon=True)
    try:
        thread.start()  # the signal may come before it returns
        failed.wait()
        watchdog.check()
    finally:
        watchdog.join([thread])


module.JOIN_S = 0.1
# On a machine that is slow at this moment, the guard must not come first.
module.GUARD_FACTOR = 1 if how == "holds Python's lock" else 1000
signal.signal(signal.SIGTERM, signal.default_int_handler)
watchdog = Watchdog("Upscaling video.mkv", "Run it again.", timeout_s, grace_s=0.4)
try:
    with watchdog:
        run()
except UserError as error:
    print(f"UserError: {error}", file=sys.stderr)
    sys.exit(30)
except KeyboardInterrupt:
    print("Interrupted.", file=sys.stderr)
    sys.exit(130)
