"""From images to upscaled images: UpscaleImages."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import luigi

from data.atomic_files import read_json
from data.errors import UserError
from sr.runtime.upscalers import FORMULAS
from tasks.config import upscaling
from tasks.model_choice import identity_of, requires_of
from tasks.runtime.progress import stage
from tasks.runtime.store_task import StoreTask
from tasks.train import TRAINED, WHOLE_MACHINE

_LISTED = 10


class ImagesTarget(luigi.LocalTarget):
    """The record of upscaled images, which counts while the inputs are the same and each result stands there."""

    def __init__(self, record: str, fingerprint: Callable[[], str]) -> None:
        super().__init__(record)
        self._fingerprint = fingerprint

    def exists(self) -> bool:
        """Return whether all are there, by size; make() compares their hashes.

        Raises:
            UserError: there are no images.
        """
        fingerprint = self._fingerprint()
        if not super().exists():
            return False
        record = read_json(self.path)
        if record["fingerprint"] != fingerprint:
            return False
        results = [(Path(one["output"]), one["bytes"]) for one in record["images"]]
        return all(path.is_file() and path.stat().st_size == size for path, size in results)


class UpscaleImages(StoreTask):
    """Images and model → upscaled images, in their formats, with profile, EXIF and alpha."""

    input = luigi.Parameter(description="an image, or a folder that is searched to the bottom")
    output_dir = luigi.Parameter(description="folder of the results, under the same relative paths")
    model = luigi.Parameter(
        default=TRAINED, description="trained, bicubic, lanczos, or a path to .pth .safetensors .onnx .xml"
    )
    precision = luigi.Parameter(default="", description="of the IR that is made: fp32, fp16 or int8")
    scale = luigi.IntParameter(default=2, description="of bicubic and lanczos; a network has its own")
    quality = luigi.IntParameter(default=95, description="of JPEG and WebP, 1 to 100")
    stage = "images"
    record = "images.json"
    resources = WHOLE_MACHINE

    def name(self) -> str:
        """Return the name of the folder of the images."""
        from sr.upscale.images.jobs import root_of

        return root_of(self.source()).name

    def source(self) -> Path:
        """Return the image or the folder."""
        return Path(os.path.abspath(Path(self.input).expanduser()))

    def results(self) -> Path:
        """Return the folder of the results.

        Raises:
            UserError: it is a file.
        """
        path = Path(os.path.abspath(Path(self.output_dir).expanduser()))
        if path.exists() and not path.is_dir():
            raise UserError("a folder", "a file", "--output-dir", "name a folder")
        return path

    def requires(self) -> dict[str, StoreTask]:
        """The model as an IR; none for a formula, and for a file that is a graph already."""
        return requires_of(self.model, self.precision)

    def parameters(self) -> dict[str, Any]:
        """Return where images come from and go to, the model by its bytes, and the quality; not which images.

        Raises:
            UserError: a value is out of its range, or there is no such model.
        """
        from sr.upscale.images.jobs import root_of
        from sr.upscale.images.upscale_images import check_settings

        check_settings(self.scale, self.quality, upscaling().memory_mb)
        return {
            "root": str(root_of(self.source())),
            "results": str(self.results()),
            "model": identity_of(self.model, self.scale, FORMULAS),
            "quality": self.quality,
        } | ({"device": upscaling().device} if upscaling().device != "CPU" else {})

    def fingerprint(self) -> str:
        """Return which images there are, by names, sizes and times.

        Raises:
            UserError: there are none.
        """
        from sr.upscale.images.upscale_images import images_fingerprint

        return images_fingerprint(self.source(), self.results())

    def output(self) -> luigi.LocalTarget:
        """Return the record."""
        return ImagesTarget(str(self.directory() / self.record), self.fingerprint)

    def make(self) -> None:
        """Upscale, or go on upscaling."""
        from sr.runtime.upscalers import load_upscaler
        from sr.upscale.images.upscale_images import upscale_images

        model = self.requires()["model"].directory() if self.requires() else self.model
        upscaler = load_upscaler(
            Path(model).expanduser() if self.model not in FORMULAS else model,
            self.scale,
            device=upscaling().device,
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

    def counts(self) -> str:
        """Return images and rejections."""
        record = read_json(self.directory() / self.record)
        bad = len(record["rejections"])
        return f"{len(record['images'])} images" + (f", {bad} rejected" if bad else "")

    def summary(self) -> str:
        """Say where they are, and which could not be read."""
        bad = read_json(self.directory() / self.record)["rejections"]
        lines = [f"  {one['id']}: {one['reason']}: {one['detail']}" for one in bad[:_LISTED]]
        more = [f"  and {len(bad) - _LISTED} more, in {self.output().path}"] if len(bad) > _LISTED else []
        return "\n".join([f"Images: {self.results()}", f"{self.counts()}.", *lines, *more])
