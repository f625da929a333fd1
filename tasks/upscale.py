"""From pictures to enlarged pictures: UpscaleImages."""

import os
from collections.abc import Callable
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
    """The record of enlarged pictures, which counts while the inputs are the same and each result stands there."""

    def __init__(self, record: str, fingerprint: Callable[[], str]) -> None:
        super().__init__(record)
        self._fingerprint = fingerprint

    def exists(self) -> bool:
        """Return whether all are there, by size; make() compares their hashes.

        Raises:
            UserError: there are no pictures.
        """
        fingerprint = self._fingerprint()
        if not super().exists():
            return False
        record = read_json(self.path)
        if record["fingerprint"] != fingerprint:
            return False
        results = [(Path(one["output"]), one["bytes"]) for one in record["pictures"]]
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
        """Return the name of the folder of the pictures."""
        from sr.upscale.naming import root_of

        return root_of(self.source()).name

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
        """Return where pictures come from and go to, the model by its bytes, and the quality; not which pictures.

        Raises:
            UserError: a value is out of its range, or there is no such model.
        """
        from sr.upscale.naming import root_of
        from sr.upscale.pictures import check_settings

        check_settings(self.scale, self.quality, upscaling().memory_mb)
        return {
            "root": str(root_of(self.source())),
            "results": str(self.results()),
            "model": identity_of(self.model, self.scale, FORMULAS),
            "quality": self.quality,
        } | ({"device": upscaling().device} if upscaling().device != "CPU" else {})

    def fingerprint(self) -> str:
        """Return which pictures there are, by names, sizes and times.

        Raises:
            UserError: there are none.
        """
        from sr.upscale.pictures import pictures_fingerprint

        return pictures_fingerprint(self.source(), self.results())

    def output(self) -> luigi.LocalTarget:
        """Return the record."""
        return PicturesTarget(str(self.directory() / self.record), self.fingerprint)

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
