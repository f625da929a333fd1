"""Unpack the videos of downloaded archives: FFmpeg seeks in them, which it can't do in an archive."""

import collections
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from data.atomic_files import atomic_file, read_json, write_json
from data.catalog.spec import VIDEO_SUFFIXES
from data.disk_space import require_free_space
from data.errors import UserError
from data.progress import Progress, silent
from data.records import SCHEMA

RECORD, VIDEOS = "videos.json", "videos"
_BLOCK_BYTES = 1 << 20


class _Member(NamedTuple):
    """A file in an archive."""

    name: str
    size: int
    content: IO[bytes]


def unpack_videos(
    archives: Sequence[Path], out_dir: Path, members: str = "", *, progress: Progress = silent
) -> None:
    """Unpack all videos that are not there yet, and write videos.json last.

    Args:
        archives: zips and tars.
        out_dir: directory to write to.
        members: only files whose path in the archive begins with this.
        progress: called with the number of videos.

    Raises:
        UserError: an archive is damaged, the disk is too small, or there is no video.
    """
    (out_dir / VIDEOS).mkdir(parents=True, exist_ok=True)
    videos: list[dict[str, object]] = []
    left_out: collections.Counter[str] = collections.Counter()
    for archive in archives:
        prefix = f"{archive.name.partition('.')[0]}/" if len(archives) > 1 else ""
        try:
            for member in _each_file(archive, out_dir):
                path = _clean(member.name)
                if path is None or not member.name.startswith(members):
                    left_out[PurePosixPath(member.name).suffix.lower() or "no suffix"] += 1
                    continue
                _write(member, out_dir / VIDEOS / f"{prefix}{path}")
                videos.append({"file": f"{prefix}{path}", "bytes": member.size})
                progress(len(videos), 0)
        except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError) as error:
            message = f"{archive} is damaged: {error}"
            raise UserError(message, "Delete it, and fetch it again") from None
    found = ", ".join(f"{count} of {suffix}" for suffix, count in left_out.most_common(5))
    if not videos:
        raise UserError(
            f"There is no video in {', '.join(map(str, archives))}; it holds files {found or 'of no kind'}",
            f"Convert them to one of {', '.join(VIDEO_SUFFIXES[:4])}, and use --dataset videos:FOLDER",
        )
    record = {"schema": SCHEMA, "videos": videos, "left_out": dict(sorted(left_out.items()))}
    write_json(out_dir / RECORD, record)


def count_unpacked(out_dir: Path) -> tuple[int, int, dict[str, int]]:
    """Return the number of videos, their bytes, and the numbers of other files by suffix, from videos.json."""
    record = read_json(out_dir / RECORD)
    return len(record["videos"]), sum(one["bytes"] for one in record["videos"]), dict(record["left_out"])


def _each_file(archive: Path, out_dir: Path) -> Iterator[_Member]:
    """Yield the files of an archive in its order. Links and devices are none."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            files = [one for one in opened.infolist() if not one.is_dir()]
            kept = sum(path.stat().st_size for path in (out_dir / VIDEOS).rglob("*") if path.is_file())
            needed = sum(one.file_size for one in files) - kept
            require_free_space(out_dir, max(0, needed), f"Unpacking {archive.name}")
            for one in files:
                with opened.open(one) as content:
                    yield _Member(one.filename, one.file_size, content)
    else:
        with tarfile.open(archive, "r|*") as opened_tar:
            for info in opened_tar:
                content_of = opened_tar.extractfile(info) if info.isreg() else None
                if content_of:
                    yield _Member(info.name, info.size, content_of)


def _clean(name: str) -> str | None:
    """Return the path of a video below the folder; None for another file, or a name that leads out."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    leads_out = ".." in parts or name.startswith("/") or ":" in name or "\0" in name
    is_hidden = any(part.startswith((".", "__MACOSX")) for part in parts)
    if not parts or leads_out or is_hidden or not parts[-1].lower().endswith(VIDEO_SUFFIXES):
        return None
    return "/".join(parts)


def _write(member: _Member, path: Path) -> None:
    if path.is_file() and path.stat().st_size == member.size:
        return  # an earlier run has unpacked it
    with atomic_file(path) as file:
        shutil.copyfileobj(member.content, file, _BLOCK_BYTES)
