"""What a person can set about films; apart, so that declaring it does not load FFmpeg's libraries."""

import dataclasses

from data.errors import UserError


@dataclasses.dataclass(frozen=True)
class FilmSettings:
    """How far apart the frames are that are taken."""

    least_spacing_s: float = 4.0
    usual_spacing_s: float = 10.0
    """The commonest spacing."""
    greatest_spacing_s: float = 15.0
    seed: int = 0

    def check(self) -> None:
        """Refuse values that make no plan.

        Raises:
            UserError: they are not 0 < least <= usual <= greatest.
        """
        if not 0 < self.least_spacing_s <= self.usual_spacing_s <= self.greatest_spacing_s <= 86_400:
            found = f"{self.least_spacing_s}, {self.usual_spacing_s}, {self.greatest_spacing_s}"
            expected = "0 < least <= usual <= greatest <= 86400 seconds"
            remedy = "mend least_spacing_s, usual_spacing_s or greatest_spacing_s"
            raise UserError(expected, found, "[films]", remedy)
