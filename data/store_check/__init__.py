"""Try whether a directory keeps what the store relies on, between two processes: the command `sr-factory doctor`."""
