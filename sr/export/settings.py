"""What a person chooses for int8, and what of it makes no sense. Loads nothing heavy: tasks look at it, too."""

import dataclasses
import math

from data.errors import UserError


@dataclasses.dataclass(frozen=True)
class Int8Settings:
    """How int8 is calibrated and judged."""

    calibration_crops: int = 128
    """Crops of the training split; all where it has fewer."""
    held_out_crops: int = 32
    """Crops of the validation split; all where it has fewer."""
    patch_px: int = 256
    """Side of the high patch taken from each crop."""
    seed: int = 0
    """Of the choice of crops."""
    int8_loss_db: float = 0.0
    """By so much int8 may lie below fp32 (PSNR over the planes that the model works on, mean over the held-out
    crops); 0: as INT8_LOSS_DB has it for the network's family."""
    search_trials: int = 24
    """Where that is missed: quantizations with more in float, at most."""

    def check(self) -> None:
        """Refuse what nothing can be calibrated or judged with.

        Raises:
            UserError: a value is none that there is.
        """
        for name, least in (("calibration_crops", 1), ("held_out_crops", 1), ("search_trials", 0)):
            if getattr(self, name) < least:
                raise _wrong(name, f"{least} or more", getattr(self, name))
        if not math.isfinite(self.int8_loss_db) or self.int8_loss_db < 0:
            raise _wrong("int8_loss_db", "0 dB or more", self.int8_loss_db)


def _wrong(name: str, expected: str, got: float) -> UserError:
    return UserError(expected, str(got), f"--export-{name.replace('_', '-')}", "give another number")
