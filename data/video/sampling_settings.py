"""What a person can set about videos; apart, so that declaring it does not load FFmpeg's libraries."""

import dataclasses

from data.errors import UserError


@dataclasses.dataclass(frozen=True)
class VideoSettings:
    """How far apart the frames are that are taken."""

    min_spacing_s: float = 4.0
    typical_spacing_s: float = 10.0
    """The commonest spacing."""
    max_spacing_s: float = 15.0
    seed: int = 0

    def check(self) -> None:
        """Refuse values that make no plan.

        Raises:
            UserError: they are not 0 < least <= usual <= greatest.
        """
        if not 0 < self.min_spacing_s <= self.typical_spacing_s <= self.max_spacing_s <= 86_400:
            found = f"{self.min_spacing_s}, {self.typical_spacing_s}, {self.max_spacing_s}"
            expected = "0 < least <= usual <= greatest <= 86400 seconds"
            remedy = "mend min_spacing_s, typical_spacing_s or max_spacing_s"
            raise UserError(expected, found, "[video]", remedy)
