"""Make the int8 model of a network, and measure its accuracy.

The model is calibrated with some crops and measured on others (see `sr.export.int8_crops`). If it loses too much,
the weights are fine-tuned, where the settings say so, and layers are kept in float; if that does not suffice, it is
refused with the figures. Writes no files.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from data.errors import UserError
from data.progress import Progress
from sr.export import ir_file
from sr.export.accuracy import mean_psnr_db
from sr.export.calibration import Crop, HwcImage
from sr.export.finetuning import Network, fine_tune
from sr.export.int8_crops import ImageSet, Int8Crops, choose_int8_crops
from sr.export.ir_graph import WEIGHTED, IrGraph, SensitiveOperations
from sr.export.parity import Runner
from sr.export.quantize import QuantizationSummary, bypass_quantizers, check_quantizers, quantize
from sr.export.rounding import WeightRounding
from sr.export.search import FloatGroups, find_float_groups, group_layers
from sr.export.settings import FINE_TUNE_OPTION, Int8Settings
from sr.models.metadata import ModelMetadata
from sr.runtime.openvino_runtime import openvino as ov

INT8_LOSS_DB = {"vapsr": 0.1, "realtime": 0.2}
"""Largest allowed loss of int8 compared with fp32, by architecture."""
OTHERS_LOSS_DB = 0.2
"""The same of networks that are not ours."""
CALIBRATION_CROPS = {"realtime": 128}
"""Crops to calibrate with, by architecture; the weights of these are rounded on them, too."""
OTHERS_CALIBRATION_CROPS = 32
"""The same of networks of which only ranges and biases are found; these take a second or more a crop."""

_MeasureOn = Callable[[frozenset[str], Sequence[Crop]], float]
"""From the names of operations to keep in float, and crops, to the PSNR in dB."""
ROUNDED = ("realtime",)
"""Architectures whose weights are rounded together; it is not measured for others."""
RANKING_CROPS = 12
"""Groups of layers are ranked on so many crops at most: the ranking needs less than the figure of the accuracy."""


class Quantization:
    """Makes and measures int8 models of one network.

    Args:
        metadata: of the network.
        settings: how to calibrate, and the allowed loss.
        source: path of selection.json, or images; None: the photographs in the box.
        reference: runs the network in full precision.
        network: the same in torch, to fine-tune; None: only the graph is there.
    """

    def __init__(
        self,
        metadata: ModelMetadata,
        settings: Int8Settings,
        source: Path | ImageSet | None,
        reference: Runner,
        network: Network | None = None,
    ) -> None:
        if settings.int8_finetune_steps and network is None:
            raise UserError("Only weights can be fine-tuned for int8, not an ONNX file", "Export the weights")
        bound_db = settings.int8_loss_db or INT8_LOSS_DB.get(metadata.architecture, OTHERS_LOSS_DB)
        crops = settings.calibration_crops or CALIBRATION_CROPS.get(
            metadata.architecture, OTHERS_CALIBRATION_CROPS
        )
        self._settings = dataclasses.replace(settings, int8_loss_db=bound_db, calibration_crops=crops)
        self._metadata, self._source, self._reference = metadata, source, reference
        self._network, self._tuning = network, dict[str, Any]()
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
            UserError: int8 loses more than the bound allows, whatever is kept in float, or cannot be fine-tuned.
        """
        crops, max_models = self._choose_crops(), self._settings.search_trials + 1
        make = self._make_quantizer(model, sensitive, crops, progress)

        def measure(in_float: frozenset[str], on: Sequence[Crop]) -> float:
            return self._measure(make_runner(make(in_float)), on)

        fp32_db = self._measure(self._reference, crops.held_out)
        make(frozenset())
        int8_db = self._tune(frozenset(), crops, make_runner, progress)
        target_db, found = fp32_db - self._settings.int8_loss_db, FloatGroups(int8_db)
        if int8_db < target_db and self._settings.search_trials:
            progress(1, max_models, f"int8 loses {fp32_db - int8_db:.2f} dB: ranking layers")
            groups = group_layers(IrGraph(model).find_types(WEIGHTED) - sensitive.ignored_scope)
            estimate = self._make_estimate(model, make_runner)
            found = self._search(estimate, measure, groups, crops, target_db - int8_db)
            if found.names:
                int8_db = self._tune(found.names, crops, make_runner, progress)
        if int8_db < target_db:
            raise self._loss_error(found, int8_db, fp32_db, crops)
        progress(max_models, max_models, f"int8 {int8_db:.2f} dB, fp32 {fp32_db:.2f} dB")
        return self._quantized[found.names][0], self._describe(sensitive, found, crops, fp32_db, int8_db)

    def _make_quantizer(
        self, model: ov.Model, sensitive: SensitiveOperations, crops: Int8Crops, progress: Progress
    ) -> Callable[[frozenset[str]], ov.Model]:
        """Return a function from operations to keep in float to a quantized model, which it makes once."""
        max_models = self._settings.search_trials + 1
        lr_images = [crop.lr_image for crop in crops.calibration]
        rounding = WeightRounding(model, lr_images) if self._metadata.architecture in ROUNDED else None

        def make(in_float: frozenset[str]) -> ov.Model:
            if in_float not in self._quantized:
                progress(len(self._quantized), max_models, f"quantizing with {len(lr_images)} crops")
                scope = sensitive.add_ignored(in_float)
                self._quantized[in_float] = self._make(model, in_float, scope, lr_images, rounding)
            return self._quantized[in_float][0]

        return make

    def _tune(
        self,
        in_float: frozenset[str],
        crops: Int8Crops,
        make_runner: Callable[[ov.Model], Runner],
        progress: Progress,
    ) -> float:
        """Fine-tune a quantized model, if the settings say so, and keep the result if the ranking crops gain by it.

        Returns:
            The PSNR of the model that is kept, on the held-out crops.
        """
        before, summary = self._quantized[in_float]
        steps, ranking = self._settings.int8_finetune_steps, crops.ranking[:RANKING_CROPS]
        before_db = self._measure(make_runner(before), crops.held_out)
        if not steps or self._network is None:
            return before_db

        def report(step: int, noise: float) -> None:
            progress(step, steps, f"fine-tuning int8: {noise:.3f} levels from the network")

        lr_images = [crop.lr_image for crop in crops.calibration]
        tuned = fine_tune(before, self._network, lr_images, steps, self._settings.seed, report)
        tuned_db = self._measure(make_runner(tuned), crops.held_out)
        is_kept = self._measure(make_runner(tuned), ranking) > self._measure(make_runner(before), ranking)
        self._quantized[in_float] = (tuned if is_kept else before), summary
        self._tuning = {
            "steps": steps,
            "before_psnr_db": round(before_db, 4),
            "after_psnr_db": round(tuned_db, 4),
            "kept": is_kept,
        }
        return tuned_db if is_kept else before_db

    def _choose_crops(self) -> Int8Crops:
        return choose_int8_crops(self._source, self._settings, self._metadata)

    def _search(
        self,
        estimate: _MeasureOn,
        measure: _MeasureOn,
        groups: dict[str, frozenset[str]],
        crops: Int8Crops,
        gain_db: float,
    ) -> FloatGroups:
        """Search on the ranking crops; the gain and the loss must be what they have to be on the held-out ones."""
        on = crops.ranking[:RANKING_CROPS]
        start_db = measure(frozenset(), on)
        target_db = max(start_db + gain_db, self._measure(self._reference, on) - self._settings.int8_loss_db)
        return find_float_groups(
            lambda names: estimate(names, on),
            lambda names: measure(names, on),
            groups,
            start_db,
            target_db,
            self._settings.search_trials,
        )

    def _make(
        self,
        model: ov.Model,
        in_float: frozenset[str],
        scope: SensitiveOperations,
        lr_images: Sequence[HwcImage],
        rounding: WeightRounding | None,
    ) -> tuple[ov.Model, QuantizationSummary]:
        """Quantize; or put operations of the quantized model into float, where that gives the same.

        Ranges and biases of each layer are found on the network in float, so quantizing anew would find the same. Not
        so rounded weights, which make up for the errors of the layers before.
        """
        if in_float and not rounding:
            released = bypass_quantizers(self._quantized[frozenset()][0], model, in_float)
            with contextlib.suppress(UserError):  # a quantizer serves other operations, too
                return released, check_quantizers(released, scope)
        return quantize(model, lr_images, scope, rounding)

    def _make_estimate(self, model: ov.Model, make_runner: Callable[[ov.Model], Runner]) -> _MeasureOn:
        """Return a function that estimates the PSNR with operations in float, without quantizing again."""
        quantized = self._quantized[frozenset()][0]
        return lambda names, on: self._measure(make_runner(bypass_quantizers(quantized, model, names)), on)

    def _measure(self, run: Runner, on: Sequence[Crop]) -> float:
        return mean_psnr_db(run, on, self._metadata.scale)

    def _describe(
        self,
        sensitive: SensitiveOperations,
        found: FloatGroups,
        crops: Int8Crops,
        fp32_db: float,
        int8_db: float,
    ) -> dict[str, Any]:
        """Return the facts for export.json."""
        in_float = sensitive.add_ignored(found.names).ignored_scope
        return {
            "calibration": {
                **dataclasses.asdict(self._settings),
                "source": crops.origin,
                "keys": [crop.key for crop in crops.calibration],
            },
            "quantized": {
                **dataclasses.asdict(self._quantized[found.names][1]),
                "kept_in_float": sorted(name for name in in_float if not ir_file.is_numbered(name)),
            },
            "search": {
                "trials": found.trials,
                "ranked_by": len(crops.ranking[:RANKING_CROPS]),
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
            **({"fine_tuning": self._tuning} if self._tuning else {}),
        }

    def _loss_error(self, found: FloatGroups, int8_db: float, fp32_db: float, crops: Int8Crops) -> UserError:
        in_float = f", with {', '.join(found.groups)} in float" if found.groups else ""
        return UserError(
            f"int8 reaches {int8_db:.3f} dB and fp32 {fp32_db:.3f} dB, a loss of {fp32_db - int8_db:.3f} dB{in_float}; "
            f"{self._settings.int8_loss_db} dB is allowed ({len(crops.held_out)} held-out crops of {crops.origin}, "
            f"{found.trials} trials with more layers in float)",
            "Calibrate with other or more images (--calibration DIR), "
            + ("" if self._tuning or self._network is None else f"fine-tune ({FINE_TUNE_OPTION}), ")
            + "allow a larger loss or more trials, or export fp16",
        )
