"""Upscale an image or a folder of images: UpscaleImages."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import luigi

from data.errors import UserError
from data.file_names import escape_name, find_name_fault
from data.user_paths import expand_home
from sr.export.settings import PRECISIONS
from sr.models.box import BOX_MODELS, DEFAULT_MODEL
from sr.runtime.filters import INTERPOLATION_FILTERS
from tasks.config import MAX_SCALE, MIN_SCALE, upscaling
from tasks.export import ExportOpenVINO
from tasks.made_ir import make_ir_of
from tasks.model_choice import identify_upscaler
from tasks.runtime.parameters import BoolParameter, ChoiceParameter, IntParameter
from tasks.runtime.progress import stage
from tasks.runtime.record_target import RecordTarget
from tasks.runtime.store_task import INCOMPLETE_EXIT_CODE, WHOLE_MACHINE, StoreTask

DEFAULT_SCALE = 2
"""Of a filter; with a network it stands for the network's own."""
_MAX_SHOWN = 10
"""How many rejections and warnings the summary lists."""


class ImagesTarget(RecordTarget):
    """The record of upscaled images, which counts while the inputs are unchanged and all results exist.

    Args:
        record: path of the record.
        fingerprint: returns which images there are now.
        results: the folder of the results.
    """

    def __init__(self, record: Path, fingerprint: Callable[[], str], results: Path) -> None:
        super().__init__(record)
        self._fingerprint, self._results = fingerprint, results

    def exists(self) -> bool:
        """Return whether all results exist with the right size; make() compares their hashes.

        Raises:
            UserError: there are no images, or there is work to do and its results cannot be written.
        """
        from sr.upscale.images.output_folder import check_folder_is_writable

        is_done = self._is_done()
        if not is_done:
            check_folder_is_writable(self._results)
        return is_done

    def _is_done(self) -> bool:
        fingerprint = self._fingerprint()
        if not super().exists():
            return False
        record = self.load()
        if record["fingerprint"] != fingerprint:
            return False
        results = [(Path(one["output"]), one["bytes"]) for one in record["images"]]
        return all(path.is_file() and path.stat().st_size == size for path, size in results)


class UpscaleImages(StoreTask):
    """Images and model → upscaled images, in their formats, with profile, EXIF and alpha."""

    input: str = luigi.Parameter(  # type: ignore[assignment]  # hides Task.input(), which nothing here uses
        description="an image, or a folder that is searched recursively"
    )
    output_dir: str = luigi.Parameter(description="folder for the results, which get the same relative paths")
    model: str = luigi.Parameter(
        default=DEFAULT_MODEL,
        description=f"{', '.join(BOX_MODELS)}, trained, bicubic, lanczos, or a path to .pth .safetensors .onnx .xml",
    )
    precision: str = ChoiceParameter(
        default="",
        choices=["", *PRECISIONS],
        description="precision of the IR that is made of weights; empty: that of [export]",
    )
    scale: int = IntParameter(
        default=DEFAULT_SCALE,
        at_least=MIN_SCALE,
        at_most=MAX_SCALE,
        description="scale of bicubic and lanczos; a network has its own",
    )
    quality: int = IntParameter(
        default=95, at_least=1, at_most=100, description="quality of JPEG and WebP results"
    )
    allow_rejected: bool = BoolParameter(
        description="exit with 0 also if images are rejected; the results are the same"
    )
    stage = "images"
    record = "images.json"
    resources = WHOLE_MACHINE

    def name(self) -> str:
        """Return the name of the folder of the images."""
        from sr.upscale.images.listing import find_input_root

        return find_input_root(self.source()).name

    def source(self) -> Path:
        """Return the image or the folder."""
        return Path(os.path.abspath(expand_home(self.input)))

    def results(self) -> Path:
        """Return the folder of the results.

        Raises:
            UserError: it is a file, or its name is too long.
        """
        path = Path(os.path.abspath(expand_home(self.output_dir)))
        if fault := find_name_fault(path):
            raise UserError(f"--output-dir {path} would have {fault}", "Choose a shorter one")
        if path.exists() and not path.is_dir():
            raise UserError(f"--output-dir {path} is a file", "Choose a folder")
        return path

    def requires(self) -> dict[str, ExportOpenVINO]:
        """The model as an IR; nothing for a filter, a graph file or a model in the box."""
        return make_ir_of(self.model, self.precision)

    def parameters(self) -> dict[str, Any]:
        """Return the folders, the model and the quality, but not which images there are: that is in the record.

        Raises:
            UserError: there is no such model.
        """
        from sr.upscale.images.listing import find_input_root

        device = upscaling().device
        return {
            "root": str(find_input_root(self.source())),
            "results": str(self.results()),
            "model": identify_upscaler(self.model, self.scale, INTERPOLATION_FILTERS),
            "quality": self.quality,
        } | ({"device": device} if device != "CPU" else {})

    def fingerprint(self) -> str:
        """Return which images there are, by names, sizes and times.

        Raises:
            UserError: there are none.
        """
        from sr.upscale.images.upscale_images import fingerprint_images

        return fingerprint_images(self.source(), self.results())

    def output(self) -> RecordTarget:
        """Return the record."""
        return ImagesTarget(self.record_path(), self.fingerprint, self.results())

    def make(self) -> None:
        """Upscale the images that have no valid result yet."""
        from sr.upscale.images.upscale_images import upscale_images
        from sr.upscale.load import open_upscaler

        made = self.requires().get("model")
        is_name = self.model in BOX_MODELS or self.model in INTERPOLATION_FILTERS
        model = made.directory() if made else self.model if is_name else expand_home(self.model)
        upscaler = open_upscaler(model, self.scale, device=upscaling().device)
        if self.scale not in (DEFAULT_SCALE, upscaler.scale):
            raise UserError(
                f"--scale {self.scale} is not the scale of {self.model}, a network of scale {upscaler.scale}",
                "Leave --scale out: it is for bicubic and lanczos",
            )
        with stage(self, "images") as progress:
            upscale_images(
                self.source(),
                self.results(),
                self.directory(),
                upscaler,
                self.quality,
                upscaling().memory_mb,
                progress,
            )

    def exit_code(self) -> int:
        """Return 3 if an image was rejected, unless that is allowed."""
        return INCOMPLETE_EXIT_CODE if self.load_record()["rejections"] and not self.allow_rejected else 0

    def counts(self) -> str:
        """Return the numbers of images, rejections and warnings."""
        record = self.load_record()
        rejected, warnings = len(record["rejections"]), len(record.get("warnings", []))
        counted = f"{len(record['images'])} images" + (f", {rejected} rejected" if rejected else "")
        return counted + (f", {warnings} warnings" if warnings else "")

    def summary(self) -> str:
        """Return where the results are, which images were rejected, and what else was noticed."""
        record = self.load_record()
        notes = record["rejections"] + record.get("warnings", [])
        lines = [f"  {one['id']}: {one['reason']}: {one['detail']}" for one in notes[:_MAX_SHOWN]]
        if len(notes) > _MAX_SHOWN:
            lines.append(f"  and {len(notes) - _MAX_SHOWN} more, listed in {self.record_path()}")
        lines = [f"Images: {self.results()}", f"{self.counts()}.", *lines]
        return "\n".join(escape_name(line) for line in lines)
