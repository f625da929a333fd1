"""Which images of a run are finished, so that it goes on where it was, and overwrites no file but its own.

A run is one root of images, one folder of results, one model and one quality: which images there are may change.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.atomic_files import jsonl_line
from data.errors import UserError
from data.hashing import sha256_file, spec_hash
from data.imaging.decode import ImageFault
from sr.upscale.images.jobs import Job, root_of

JOURNAL = "journal.jsonl"
_BESIDE = ".upscale"


def directory_beside(source: Path, output: Path, model: str, quality: int) -> Path:
    """Return where the journal lies that no store holds: hidden, in the folder of the results."""
    run = {"root": os.path.abspath(root_of(source)), "model": model, "quality": quality}
    return output / _BESIDE / spec_hash(run)


@contextlib.contextmanager
def placing(output: Path) -> Iterator[None]:
    """Word what the operating system says of a result.

    Raises:
        UserError: it cannot be written, or not be read again.
    """
    try:
        yield
    except OSError as error:
        remedy = "make room there, make it writable, or name another place"
        said = error.strerror or str(error)
        raise UserError("a place that can be written", said, f"the output ({output})", remedy) from error


class Journal:
    """A line for each image that is begun, and one for each that is finished; a torn last line counts for none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open: set[str] = set()
        self._finished: dict[str, dict[str, Any]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            os.truncate(path, len(whole))
        for text in whole.splitlines():
            self._take(json.loads(text))

    def check(self, jobs: list[Job]) -> None:
        """Look for files of others in the results' places.

        Raises:
            UserError: there is one.
        """
        for job in jobs:
            is_ours = str(job.output) in self._open or str(job.output) in self._finished
            if os.path.lexists(job.output) and not is_ours:
                got = f"a file that was not made with these settings, {job.output}"
                raise UserError("a free place", got, "the output", "move it away, or name another folder")

    def finished(self, job: Job, source_sha256: str, model: str) -> dict[str, Any] | None:
        """Return the line of an image whose result stands where and as it was put; None: it is to be made.

        Raises:
            UserError: the result was changed since: nobody's work is overwritten.
        """
        line = self._finished.get(str(job.output))
        if line is None or not os.path.lexists(job.output):
            return None
        with placing(job.output):
            is_ours = sha256_file(job.output) == line["output_sha256"]
        if not is_ours and str(job.output) not in self._open:
            got = f"one that was changed since, {job.output}"
            raise UserError("the result as it was made", got, "the output", "move it away, or delete it")
        return line if is_ours and (line["sha256"], line["model"]) == (source_sha256, model) else None

    @contextlib.contextmanager
    def making(self, job: Job) -> Iterator[None]:
        """Claim the result's place while the block runs; give it up where the image turns out to be a bad one."""
        self.add({"id": job.id, "output": str(job.output)})
        try:
            yield
        except ImageFault:
            self.add({"id": job.id, "output": str(job.output), "rejected": True})
            raise

    def finish(self, job: Job, source_sha256: str, model: str) -> dict[str, Any]:
        """Write that an image is finished."""
        line = {"id": job.id, "output": str(job.output), "sha256": source_sha256, "model": model}
        with placing(job.output):
            line["output_sha256"] = sha256_file(job.output)
        self.add(line)
        return line

    def add(self, line: dict[str, Any]) -> None:
        """Append a line, and have it on the disk."""
        with open(self.path, "ab") as file:
            file.write(jsonl_line(line))
            file.flush()
            os.fsync(file.fileno())
        self._take(line)

    def _take(self, line: dict[str, Any]) -> None:
        self._open.add(line["output"])
        if "output_sha256" in line:
            self._finished[line["output"]] = line
        if "output_sha256" in line or "rejected" in line:
            self._open.remove(line["output"])
