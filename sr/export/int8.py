"""Make the int8 model of a network, and measure its accuracy.

The model is calibrated with crops of the training split and measured on crops of the validation split. If it loses too
much, layers are kept in float; if that does not suffice, it is refused with the figures. Writes no files.
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
from sr.export.ir_graph import WEIGHTED, IrGraph, SensitiveOperations
from sr.export.parity import Runner
from sr.export.quantize import QuantizationSummary, quantize
from sr.export.rounding import WeightRounding
from sr.export.search import FloatGroups, find_float_groups, group_layers
from sr.export.settings import Int8Settings
from sr.models.metadata import ModelMetadata
from sr.runtime.openvino_runtime import openvino as ov

INT8_LOSS_DB = {"vapsr": 0.1, "realtime": 0.2}
"""Largest allowed loss of int8 compared with fp32, by architecture."""


@dataclasses.dataclass(frozen=True)
class _Crops:
    """The crops of an int8 export, by use."""

    calibration: Sequence[Crop]
    ranking: Sequence[Crop]
    """Other crops of the training split, on which groups of layers are ranked; so that the held-out crops, which give
    the accuracy, have no part in that choice."""
    held_out: Sequence[Crop]


class Quantization:
    """Makes and measures int8 models of one network.

    Args:
        metadata: of the network.
        settings: how to calibrate, and the allowed loss.
        selection: path of selection.json.
        reference: runs the network in full precision.
    """

    def __init__(
        self,
        metadata: ModelMetadata,
        settings: Int8Settings,
        selection: Path,
        reference: Runner,
    ) -> None:
        bound_db = settings.int8_loss_db or INT8_LOSS_DB[metadata.architecture]
        self._settings = dataclasses.replace(settings, int8_loss_db=bound_db)
        self._metadata, self._selection = metadata, selection
        self._reference = reference
        self._quantized: dict[frozenset[str], tuple[ov.Model, QuantizationSummary]] = {}
        """By the names of the operations that were kept in float in addition."""

    def run(
        self,
        model: ov.Model,
        sensitive: SensitiveOperations,
        make_runner: Callable[[ov.Model], Runner],
        progress: Progress,
    ) -> tuple[ov.Model, dict[str, Any]]:
        """Quantize, with more layers in float if int8 would lose too much otherwise.

        Args:
            model: the network in float; not changed.
            sensitive: operations that always stay in float.
            make_runner: from a quantized model to a function that runs it as it will be written.
            progress: counts quantizations.

        Returns:
            The quantized model, and the facts for export.json.

        Raises:
            UserError: int8 loses more than the bound allows, whatever is kept in float.
        """
        crops = self._choose_crops()
        rounding = WeightRounding(model, [crop.lr_image for crop in crops.calibration])
        max_models = self._settings.search_trials + 2

        def measure(in_float: frozenset[str], on: Sequence[Crop]) -> float:
            if in_float not in self._quantized:
                count = len(crops.calibration)
                progress(len(self._quantized), max_models, f"quantizing with {count} crops")
                lr_images = [crop.lr_image for crop in crops.calibration]
                scope = sensitive.add_ignored(in_float)
                self._quantized[in_float] = quantize(model, lr_images, scope, rounding)
            return self._measure(make_runner(self._quantized[in_float][0]), on)

        fp32_db = self._measure(self._reference, crops.held_out)
        int8_db = measure(frozenset(), crops.held_out)
        target_db = fp32_db - self._settings.int8_loss_db
        found = FloatGroups(int8_db)
        if int8_db < target_db and self._settings.search_trials:
            groups = group_layers(IrGraph(model).find_types(WEIGHTED) - sensitive.ignored_scope)
            found = self._search(lambda names: measure(names, crops.ranking), groups, target_db, int8_db)
            int8_db = measure(found.names, crops.held_out)
        if int8_db < target_db:
            raise self._loss_error(found, int8_db, fp32_db, len(crops.held_out))
        progress(max_models, max_models, f"int8 {int8_db:.2f} dB, fp32 {fp32_db:.2f} dB")
        return self._quantized[found.names][0], self._describe(sensitive, found, crops, fp32_db, int8_db)

    def _measure(self, run: Runner, on: Sequence[Crop]) -> float:
        return mean_psnr_db(run, on, self._metadata.scale)

    def _search(
        self,
        measure: Callable[[frozenset[str]], float],
        groups: dict[str, frozenset[str]],
        target_db: float,
        int8_db: float,
    ) -> FloatGroups:
        """Search on other crops than those that have `int8_db` and need `target_db`: the gain must be the same."""
        start_db = measure(frozenset())
        needed_db = start_db + target_db - int8_db
        return find_float_groups(measure, groups, start_db, needed_db, self._settings.search_trials)

    def _describe(
        self,
        sensitive: SensitiveOperations,
        found: FloatGroups,
        crops: _Crops,
        fp32_db: float,
        int8_db: float,
    ) -> dict[str, Any]:
        """Return the facts for export.json."""
        in_float = sensitive.add_ignored(found.names).ignored_scope
        return {
            "calibration": {
                **dataclasses.asdict(self._settings),
                "selection": self._selection.parent.name,
                "keys": [crop.key for crop in crops.calibration],
            },
            "quantized": {
                **dataclasses.asdict(self._quantized[found.names][1]),
                "kept_in_float": sorted(name for name in in_float if not ir_file.is_numbered(name)),
            },
            "search": {
                "trials": found.trials,
                "ranked_by": len(crops.ranking),
                "groups_in_float": list(found.groups),
                "gains_db": {group: round(gain, 4) for group, gain in found.gains_db.items()},
            },
            "accuracy": {
                "crops": len(crops.held_out),
                "keys": [crop.key for crop in crops.held_out],
                "fp32_psnr_db": round(fp32_db, 4),
                "int8_psnr_db": round(int8_db, 4),
                "bound_db": self._settings.int8_loss_db,
            },
        }

    def _loss_error(self, found: FloatGroups, int8_db: float, fp32_db: float, crops: int) -> UserError:
        in_float = f", with {', '.join(found.groups)} in float" if found.groups else ""
        return UserError(
            f"int8 reaches {int8_db:.3f} dB and fp32 {fp32_db:.3f} dB, a loss of {fp32_db - int8_db:.3f} dB{in_float}; "
            f"{self._settings.int8_loss_db} dB is allowed ({crops} crops of the validation split, "
            f"{found.trials} trials with more layers in float)",
            "Calibrate with more crops, allow a larger loss or more trials, or export fp16",
        )

    def _choose_crops(self) -> _Crops:
        settings = self._settings
        training = self._choose("train", settings.calibration_crops + settings.held_out_crops)
        calibration = training[: settings.calibration_crops]
        ranking = training[settings.calibration_crops :] or calibration  # a small split has no others
        return _Crops(calibration, ranking, self._choose("validation", settings.held_out_crops))

    def _choose(self, split: str, count: int) -> list[Crop]:
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
        return [crop.to_luma() if metadata.color == "luma" else crop for crop in crops]
