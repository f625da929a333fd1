"""How densely frames are sampled from a video; a module of its own, so that importing it does not load FFmpeg."""

import dataclasses

from data.errors import UserError


@dataclasses.dataclass(frozen=True)
class FrameSamplingSettings:
    """How far apart the sampled frames of a video are."""

    min_spacing_s: float = 4.0
    typical_spacing_s: float = 10.0
    """The most frequent spacing."""
    max_spacing_s: float = 15.0
    seed: int = 0

    def check(self) -> None:
        """Validate the spacings.

        Raises:
            UserError: they are not 0 < minimum <= typical <= maximum <= one day.
        """
        if not 0 < self.min_spacing_s <= self.typical_spacing_s <= self.max_spacing_s <= 86_400:
            given = f"{self.min_spacing_s}, {self.typical_spacing_s}, {self.max_spacing_s}"
            raise UserError(
                "[video] must have 0 < min_spacing_s <= typical_spacing_s <= max_spacing_s <= 86400 seconds,"
                f" but they are {given}",
                "Change min_spacing_s, typical_spacing_s or max_spacing_s",
            )
