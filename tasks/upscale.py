"""From pictures to enlarged pictures: UpscaleImages."""

import os
from pathlib import Path
from typing import Any

import luigi

from data.errors import UserError
from data.files import read_json
from sr.upscalers import FORMULAS
from tasks.base import StoreTask
from tasks.chosen import identity_of, requires_of
from tasks.config import upscaling
from tasks.learn import TRAINED, WHOLE_MACHINE
from tasks.progress import stage

_LISTED = 10


class PicturesTarget(luigi.LocalTarget):
    """The record of enlarged pictures, which counts while each of them stands where it was put."""

    def exists(self) -> bool:
        """Return whether all are there, by size; make() compares their hashes."""
        if not super().exists():
            return False
        results = [(Path(one["output"]), one["bytes"]) for one in read_json(self.path)["pictures"]]
        return all(path.is_file() and path.stat().st_size == size for path, size in results)


class UpscaleImages(StoreTask):
    """Pictures and model → enlarged pictures, in their formats, with profile, EXIF and alpha."""

    input = luigi.Parameter(description="a picture, or a folder that is searched to the bottom")
    output_dir = luigi.Parameter(description="folder of the results, under the same relative paths")
    model = luigi.Parameter(
        default=TRAINED, description="trained, bicubic, lanczos, or a path to .pth .safetensors .onnx .xml"
    )
    precision = luigi.Parameter(default="", description="of the IR that is made: fp32, fp16 or int8")
    scale = luigi.IntParameter(default=2, description="of bicubic and lanczos; a network has its own")
    quality = luigi.IntParameter(default=95, description="of JPEG and WebP, 1 to 100")
    stage = "pictures"
    record = "pictures.json"
    resources = WHOLE_MACHINE

    def name(self) -> str:
        """Return the folder's or the picture's name."""
        return self.source().stem

    def source(self) -> Path:
        """Return the picture or the folder."""
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
        """Return the pictures by names, sizes and times, where they go, the model by its bytes, and the quality.

        Raises:
            UserError: the quality is none, there are no pictures, or no such model.
        """
        from sr.upscale.pictures import pictures_fingerprint

        if not 1 <= self.quality <= 100:
            raise UserError("1 to 100", str(self.quality), "--quality", "choose one")
        return {
            "pictures": pictures_fingerprint(self.source(), self.results()),
            "results": str(self.results()),
            "model": identity_of(self.model, self.scale, FORMULAS),
            "quality": self.quality,
            "memory_mb": upscaling().memory_mb,
        } | ({"device": upscaling().device} if upscaling().device != "CPU" else {})

    def output(self) -> luigi.LocalTarget:
        """Return the record."""
        return PicturesTarget(str(self.directory() / self.record))

    def make(self) -> None:
        """Enlarge, or go on enlarging."""
        from sr.upscale.pictures import upscale_pictures
        from sr.upscalers import load_upscaler

        model = self.requires()["model"].directory() if self.requires() else self.model
        upscaler = load_upscaler(
            Path(model).expanduser() if self.model not in FORMULAS else model,
            self.scale,
            device=upscaling().device,
        )
        with stage(self, "pictures") as progress:
            upscale_pictures(
                self.source(),
                self.results(),
                self.directory(),
                upscaler,
                self.quality,
                upscaling().memory_mb,
                progress,
            )

    def counts(self) -> str:
        """Return pictures and rejections."""
        record = read_json(self.directory() / self.record)
        bad = len(record["rejections"])
        return f"{len(record['pictures'])} pictures" + (f", {bad} rejected" if bad else "")

    def summary(self) -> str:
        """Say where they are, and which could not be read."""
        bad = read_json(self.directory() / self.record)["rejections"]
        lines = [f"  {one['id']}: {one['reason']}: {one['detail']}" for one in bad[:_LISTED]]
        more = [f"  and {len(bad) - _LISTED} more, in {self.output().path}"] if len(bad) > _LISTED else []
        return "\n".join([f"Pictures: {self.results()}", f"{self.counts()}.", *lines, *more])
