"""Luigi parameters for numbers that may be left empty, for a default that is found elsewhere."""

from tasks.runtime.parameters import FloatParameter, IntParameter


class OptionalIntParameter(IntParameter):
    """A whole number within a range, or nothing: then the number is found elsewhere."""

    def parse(self, x: str) -> int | None:
        """Return the number of a text; None for an empty one."""
        return int(x) if x.strip() else None

    def serialize(self, x: int | None) -> str:
        """Return the text that `parse` reads."""
        return "" if x is None else str(x)

    def normalize(self, x: int | None) -> int | None:  # type: ignore[override]
        """Return the value; see `IntParameter`."""
        return None if x is None else super().normalize(x)


class OptionalFloatParameter(FloatParameter):
    """A finite number within a range, or nothing: then the number is found elsewhere."""

    def parse(self, x: str) -> float | None:
        """Return the number of a text; None for an empty one."""
        return float(x) if x.strip() else None

    def serialize(self, x: float | None) -> str:
        """Return the text that `parse` reads."""
        return "" if x is None else str(x)

    def normalize(self, x: float | None) -> float | None:  # type: ignore[override]
        """Return the value; see `FloatParameter`."""
        return None if x is None else super().normalize(x)
