"""int8 of one network: calibrated with crops of the training split, with layers left in float where 8 bits cost too
much, and judged by crops of the validation split.

One that misses its bound is refused with the figures. Writes no file of its own.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from data.errors import UserError
from data.progress import Progress
from sr.export import ir_file
from sr.export.accuracy import mean_psnr_db
from sr.export.calibration import Crop, choose_crops
from sr.export.ir_graph import WEIGHTED, IrGraph, SensitivePlaces
from sr.export.parity import Run
from sr.export.quantize import QuantizedPlaces, quantize
from sr.export.search import Freed, free_places, groups_of
from sr.export.settings import Int8Settings
from sr.models.metadata import ModelMetadata
from sr.runtime.openvino_runtime import openvino as ov

INT8_LOSS_DB = {"vapsr": 0.1, "realtime": 0.2}
"""By so much int8 may lie below fp32, by architecture."""


class Quantization:
    """Quantizing one network and judging the result, by one selection and one set of settings.

    Args:
        runnable: from a quantized model to what runs it, as it will be written.
        reference: the network in full precision.
    """

    def __init__(
        self,
        metadata: ModelMetadata,
        settings: Int8Settings,
        selection: Path,
        runnable: Callable[[ov.Model], Run],
        reference: Run,
    ) -> None:
        bound_db = settings.int8_loss_db or INT8_LOSS_DB[metadata.architecture]
        self._settings = dataclasses.replace(settings, int8_loss_db=bound_db)
        self._metadata, self._selection = metadata, selection
        self._runnable, self._reference = runnable, reference

    def run(
        self, model: ov.Model, sensitive: SensitivePlaces, progress: Progress
    ) -> tuple[ov.Model, dict[str, Any]]:
        """Quantize, with more in float where the bound is missed else.

        Calibrates with crops of the training split; crops of the validation split judge. What is freed is chosen by
        other crops of the training split, so that the figure is of images that had no part in the choice.

        Returns:
            The quantized model, and the facts for export.json.

        Raises:
            UserError: int8 lies further below fp32 than the bound allows, whatever is freed.
        """
        settings = self._settings
        drawn = self._crops("train", settings.calibration_crops + settings.held_out_crops)
        calibration = drawn[: settings.calibration_crops]
        ranking = drawn[settings.calibration_crops :] or calibration  # a small split has no others
        crops = self._crops("validation", self._settings.held_out_crops)
        lr_images = [crop.lr_image for crop in calibration]
        scale, most = self._metadata.scale, self._settings.search_trials + 2
        made: dict[frozenset[str], tuple[ov.Model, QuantizedPlaces]] = {}

        def score(freed: frozenset[str], judges: Sequence[Crop]) -> float:
            if freed not in made:
                progress(len(made), most, f"quantizing with {len(lr_images)} crops")
                made[freed] = quantize(model, lr_images, sensitive.with_float(freed))
            return mean_psnr_db(self._runnable(made[freed][0]), judges, scale)

        whole, reached = mean_psnr_db(self._reference, crops, scale), score(frozenset(), crops)
        wanted = whole - settings.int8_loss_db
        found = Freed(reached, frozenset(), (), {}, 0)
        if reached < wanted and settings.search_trials:
            graph = IrGraph(model)
            groups = groups_of(graph.of_types(WEIGHTED) - sensitive.unquantized)
            begun = score(frozenset(), ranking)
            found = free_places(
                lambda freed: score(freed, ranking),
                groups,
                begun,
                begun + wanted - reached,
                settings.search_trials,
            )
            reached = score(found.names, crops)
        if reached < wanted:
            raise self._missed(found, reached, whole, len(crops))
        kept = sensitive.with_float(found.names)
        quantized, places = made[found.names]
        progress(most, most, f"int8 {reached:.2f} dB, fp32 {whole:.2f} dB")
        facts = {
            "calibration": {
                **dataclasses.asdict(self._settings),
                "selection": self._selection.parent.name,
                "keys": [crop.key for crop in calibration],
            },
            "quantized": {
                **dataclasses.asdict(places),
                "kept_in_float": sorted(name for name in kept.unquantized if not ir_file.is_numbered(name)),
            },
            "search": {
                "tries": found.tries,
                "ranked_by": len(ranking),
                "freed": list(found.groups),
                "gains_db": {group: round(gain, 4) for group, gain in found.gains_db.items()},
            },
            "accuracy": {
                "crops": len(crops),
                "keys": [crop.key for crop in crops],
                "fp32_psnr_db": round(whole, 4),
                "int8_psnr_db": round(reached, 4),
                "bound_db": self._settings.int8_loss_db,
            },
        }
        return quantized, facts

    def _missed(self, found: Freed, reached: float, whole: float, crops: int) -> UserError:
        freed = f", with {', '.join(found.groups)} in float" if found.groups else ""
        return UserError(
            f"an int8 model at most {self._settings.int8_loss_db} dB below fp32",
            f"{reached:.3f} dB against {whole:.3f} dB ({whole - reached:.3f} below){freed}",
            f"{crops} crops of the validation split, after {found.tries} tries with more in float",
            "calibrate with more crops, allow a larger bound or more tries, or export fp16",
        )

    def _crops(self, split: str, count: int) -> list[Crop]:
        settings, metadata = self._settings, self._metadata
        crops = choose_crops(
            self._selection,
            split,
            count,
            settings.seed,
            settings.patch_px,
            metadata.scale,
            metadata.size_multiple,
        )
        return [crop.in_luma() if metadata.color == "luma" else crop for crop in crops]
