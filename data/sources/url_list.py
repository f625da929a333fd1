"""Images that were fetched from a list of URLs: a folder, and the links that gave none.

`pipeline.download.url_list` fetches them.
"""

from collections.abc import Iterator
from pathlib import Path

from data.atomic_files import read_jsonl
from data.record_json import from_plain
from data.records import Rejection
from data.sources.base import ListedMember
from data.sources.folder import FolderSource

IMAGES, FAILURES = "images", "failures.jsonl"
"""The folder of the images, and a Rejection for each link that gave none, beside each other."""


class UrlListSource(FolderSource):
    """The images of a list of URLs; dead links are rejections.

    Args:
        root: directory that holds `IMAGES` and `FAILURES`.
        alpha: how to handle transparent images, see `data.imaging.decode.decode`.
    """

    def __init__(self, root: Path, alpha: str = "refuse") -> None:
        super().__init__(root / IMAGES, alpha)
        self._failures = root / FAILURES

    def list_members(self) -> Iterator[ListedMember]:
        """Yield what the folder holds, then the dead links."""
        yield from super().list_members()
        for line in read_jsonl(self._failures):
            yield 1.0, from_plain(Rejection, line, str(self._failures))
