"""A journal of finished images, so that a run resumes after a kill and overwrites only its own files.

A run is defined by the folder of images, the folder of results, the model and the quality. Images may be added, changed
or removed between runs.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.atomic_files import jsonl_line
from data.errors import UserError
from data.exhaustion import hint_of
from data.hashing import sha256_file, spec_hash
from data.held_folders import make_folder
from data.imaging.decode import ImageFault
from data.mounts import sync
from data.records import RejectionReason, WarningReason
from sr.upscale.images.jobs import Job
from sr.upscale.images.listing import find_input_root

JOURNAL = "journal.jsonl"
_HIDDEN_FOLDER = ".upscale"


def choose_journal_directory(source: Path, output: Path, model: str, quality: int) -> Path:
    """Return a directory for the journal of a run outside any store: hidden, in the folder of results."""
    run = {"root": os.path.abspath(find_input_root(source)), "model": model, "quality": quality}
    return output / _HIDDEN_FOLDER / spec_hash(run)


@contextlib.contextmanager
def explain_output_errors(output: Path) -> Iterator[None]:
    """Turn an OSError about a result into a UserError.

    Raises:
        UserError: the result cannot be written, or cannot be read again.
    """
    try:
        yield
    except OSError as error:
        raise UserError(
            f"The output {output} cannot be written: {error.strerror or error}",
            hint_of(error) or "Free disk space, change the permissions, or choose another folder",
        ) from error


class Journal:
    """A file with a line for each image that was started and one for each that was finished.

    An incomplete last line, left by a kill, is removed when the file is opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._started: set[str] = set()
        self._finished: dict[str, dict[str, Any]] = {}
        make_folder(path.parent)
        content = path.read_bytes() if path.exists() else b""
        complete = content[: content.rfind(b"\n") + 1]
        if complete != content:
            os.truncate(path, len(complete))
        for line in complete.splitlines():
            self._apply(json.loads(line))

    def check(self, jobs: list[Job]) -> None:
        """Check that no result would overwrite a file that this run did not write.

        Raises:
            UserError: one would.
        """
        ours = {identity for output in self._finished if (identity := _identify(Path(output)))}
        for job in jobs:
            found = None if self._is_ours(job) else _identify(job.output)
            if found and found not in ours:
                raise UserError(
                    f"{job.output} exists, and was not made with these settings",
                    "Move it away, or choose another output folder",
                )

    def find_finished(self, job: Job, source_sha256: str, model: str) -> dict[str, Any] | None:
        """Return the line of a finished image; None if it has to be made.

        An image has to be made if its result is missing, or if the image or the model changed.

        Raises:
            UserError: the result was changed after it was written; it is not overwritten.
        """
        line = self._finished.get(str(job.output))
        if line is None or not os.path.lexists(job.output):
            return None
        with explain_output_errors(job.output):
            is_unchanged = sha256_file(job.output) == line["output_sha256"]
        if not is_unchanged and str(job.output) not in self._started:
            raise UserError(
                f"{job.output} was changed after it was made", "Move it away, or delete it to make it again"
            )
        is_current = (line["sha256"], line["model"]) == (source_sha256, model)
        return line if is_unchanged and is_current else None

    @contextlib.contextmanager
    def record_start(self, job: Job) -> Iterator[None]:
        """Record that an image is started; if the block rejects it, record that no result was written.

        Raises:
            ImageFault: another result is in its place: the file system takes a.png and A.png for one name, say, or one
                folder of results is a link to another.
        """
        if not self._is_ours(job) and _identify(job.output):
            detail = (
                "its result would overwrite that of another image, whose name is the same there; rename it"
            )
            raise ImageFault(RejectionReason.BAD_NAME, detail)
        self.add({"id": job.id, "output": str(job.output)})
        try:
            yield
        except ImageFault:
            self.add({"id": job.id, "output": str(job.output), "rejected": True})
            raise

    def record_finish(
        self, job: Job, source_sha256: str, model: str, warnings: dict[WarningReason, str]
    ) -> dict[str, Any]:
        """Record that an image is finished, with its warnings if there are any, and return its line."""
        line: dict[str, Any] = {
            "id": job.id,
            "output": str(job.output),
            "sha256": source_sha256,
            "model": model,
        }
        if warnings:
            line["warnings"] = warnings
        with explain_output_errors(job.output):
            line["output_sha256"] = sha256_file(job.output)
        self.add(line)
        return line

    def add(self, line: dict[str, Any]) -> None:
        """Append a line and flush it to disk."""
        with open(self.path, "ab") as file:
            file.write(jsonl_line(line))
            file.flush()
            sync(file.fileno())
        self._apply(line)

    def _is_ours(self, job: Job) -> bool:
        return str(job.output) in self._started or str(job.output) in self._finished

    def _apply(self, line: dict[str, Any]) -> None:
        self._started.add(line["output"])
        if "output_sha256" in line:
            self._finished[line["output"]] = line
        if "output_sha256" in line or "rejected" in line:
            self._started.remove(line["output"])


def _identify(path: Path) -> tuple[int, int] | None:
    """Return what is the same for all names of a file; None if nothing is there."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
