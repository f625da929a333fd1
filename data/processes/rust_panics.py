"""Keep a panic in Rust code from looking for memory for its backtrace."""

import os


def limit_rust_panics() -> None:
    """Turn off the backtraces of Rust code in this process and in those that it starts.

    kornia-rs panics where it gets no memory for an image. Making the backtrace that `RUST_BACKTRACE=1` asks for takes
    memory too; without it Rust panics again while it holds a lock, and the process hangs for good. Call it early: Rust
    reads the variable at its first panic.
    """
    os.environ["RUST_BACKTRACE"] = "0"
