"""The precisions of an export and the settings of int8. Imports nothing heavy, since tasks import it too."""

import dataclasses
import math

from data.errors import UserError

PRECISIONS = ("fp32", "fp16", "int8")
"""Of an IR: fp32, fp16 (weights are stored as fp16) or int8."""
SHADER_PRECISIONS = ("fp32", "fp16")
"""Of the weights in a shader, and of what it computes in where the GPU can."""
NCNN_PRECISIONS = ("fp32", "fp16")
"""Of the weights in a file for ncnn; what it computes in is the program's choice."""
OFFER_ABOVE_DB, OFFERED_STEPS = 0.05, 400
"""Where int8 loses more than this, fine-tuning is offered, with so many steps."""
FINE_TUNE_OPTION = f"--export-int8-finetune-steps {OFFERED_STEPS}"
KEPT_PRECISION = "fp16"
"""Of the IRs of the models in the box, which `sr.export.kept_ir` keeps in the user's cache."""


@dataclasses.dataclass(frozen=True)
class Int8Settings:
    """How int8 is calibrated, and how accurate it must be."""

    calibration_crops: int = 0
    """Crops to calibrate with, of the training split or of images; all, if a split has fewer. 0: the default of the
    network's architecture (CALIBRATION_CROPS)."""
    held_out_crops: int = 32
    """Crops to measure accuracy on, of the validation split or of other images; all, if a split has fewer."""
    patch_px: int = 256
    """Side of the HR patch taken from each crop."""
    seed: int = 0
    """Sets which crops are chosen."""
    int8_loss_db: float = 0.0
    """Largest allowed loss of int8 compared with fp32: PSNR over the channels that the model works on, mean over the
    held-out crops. 0: the default of the network's architecture (INT8_LOSS_DB)."""
    search_trials: int = 4
    """If the loss is larger: how many quantizations with more layers in float may be tried; 0: none. Which layers is
    estimated without quantizing."""
    int8_finetune_steps: int = 0
    """Steps of fine-tuning with int8 in the loop (`sr.export.finetuning`); 0: none."""

    def check(self) -> None:
        """Check that the values are in their ranges.

        Raises:
            UserError: one is not.
        """
        bounds = {"calibration_crops": 0, "held_out_crops": 1, "search_trials": 0, "int8_finetune_steps": 0}
        for name, least in bounds.items():
            if getattr(self, name) < least:
                raise _range_error(name, f"{least} or more", getattr(self, name))
        if not math.isfinite(self.int8_loss_db) or self.int8_loss_db < 0:
            raise _range_error("int8_loss_db", "0 dB or more", self.int8_loss_db)


def _range_error(name: str, allowed: str, value: float) -> UserError:
    return UserError(
        f"--export-{name.replace('_', '-')} must be {allowed}, got {value}", "Choose another number"
    )
