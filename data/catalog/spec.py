"""What a dataset is: its spec, whether it comes from the catalog or from a path."""

import dataclasses
import re

ARCHIVE_KINDS = {".zip": "zip", ".tar": "tar", ".tar.gz": "tar", ".tgz": "tar", ".zip.001": "zip"}
"""File name suffix of an archive: its kind. Whether a tar is compressed is read from its first bytes."""
VIDEO_SUFFIXES = (
    ".mkv", ".mp4", ".m4v", ".mov", ".webm", ".ts", ".m2ts", ".mts", ".mpg", ".mpeg", ".vob", ".avi", ".wmv",
    ".asf", ".flv", ".ogv", ".ogm", ".mxf", ".3gp",
)  # fmt: skip
"""File name suffixes of videos. data/video/demux.py lists the containers that can be opened."""

_OTHER_PART = re.compile(r"(.+\.zip)\.(?!001)\d{3,}|(.+)\.z\d{2,}", re.IGNORECASE | re.DOTALL)

GROUPS = ("image", "folder")
"""Values of DatasetSpec.group that are no regular expression."""
SAMPLE_OPTIONS = ("images", "height_px", "width_px", "seed")
"""Options of the kind sample. All but the seed are needed."""


@dataclasses.dataclass(frozen=True)
class RemoteFile:
    """A file to download, and how to verify it."""

    name: str
    """File name, without folders."""
    urls: tuple[str, ...] = ()
    """Mirrors in the order they are tried; empty if the file can only be downloaded by hand."""
    bytes: int = 0
    """Expected size in bytes; 0 if it is not known."""
    sha256: str = ""
    """Expected sha256, 64 hex digits; empty if none is published."""
    md5: str = ""
    """Expected MD5, 32 hex digits; used if no sha256 is published."""

    @property
    def checksum(self) -> tuple[str, str]:
        """The hash algorithm and the published digest; the digest is empty if none is published."""
        return ("md5", self.md5) if self.md5 and not self.sha256 else ("sha256", self.sha256)


@dataclasses.dataclass(frozen=True)
class DatasetSpec:
    """A dataset: from the catalog, or from a path."""

    name: str
    """Letters, digits, - and _."""
    kind: str
    """archives (downloaded), video_archives (downloaded, of videos, which are unpacked), url_list (downloaded zips of
    addresses, and what these give), folder, archive_folder (a folder of archives), zip, tar, video (a video or a folder
    of videos), disc, sample or photos."""
    title: str
    license: str
    """As its authors state it; "unknown" for a path."""
    citation: str = ""
    files: tuple[RemoteFile, ...] = ()
    """For kind archives: the files to download, in order."""
    path: str = ""
    """For a path: the absolute path of the folder, archive or video; for a disc the number of its drive."""
    lr_path: str = ""
    """For a benchmark folder with HR/ and LR/: the absolute path of LR/."""
    archives_of: str = ""
    """For kind archives without files of its own: the name of the dataset whose download contains it."""
    members: str = ""
    """For archives: only members whose path starts with this belong to the dataset."""
    manual: str = ""
    """How to get files that can't be downloaded, or what else to try; shown when the download fails."""
    lossy: str = "by_format"
    """Whether images have compression artifacts to remove by downscaling: by_format (follow each file's format), yes
    or no."""
    group: str = ""
    """Which images stay together in one split: image (each alone), folder (all of a folder), or a regular expression
    that is searched for in the id and whose one group names the group of images. Empty for what is not in the catalog:
    [crops] group decides."""
    options: dict[str, int] = dataclasses.field(default_factory=dict)
    """For kind sample: the values of SAMPLE_OPTIONS, by name."""
    note: str = ""
    """What was chosen where a path can be read in two ways, and how to choose the other; empty otherwise."""


def is_group(group: str) -> bool:
    """Return whether a text says which images stay together: image, folder, or an expression with one group."""
    try:
        return group in GROUPS or re.compile(group).groups == 1
    except (re.error, RecursionError, OverflowError):
        return False


def name_group(id: str, group: str) -> str:
    r"""Return the group that the id of an image names; empty if it names none, so that the image is alone.

    Args:
        id: of the image.
        group: image, folder, or an expression with one group.

    Example:
        >>> name_group("trip/IMG_0041.jpg", "folder"), name_group("shot3-0041.png", r"^(shot\d+)-")
        ('trip', 'shot3')
    """
    if group == "folder":
        return id.rpartition("/")[0]
    found = None if group == "image" else re.search(group, id)
    return (found[1] or "") if found else ""


def archive_suffix(name: str) -> str:
    """Return which suffix of ARCHIVE_KINDS a file name ends in; empty for any other file."""
    suffixes = [suffix for suffix in ARCHIVE_KINDS if name.lower().endswith(suffix)]
    return max(suffixes, key=len, default="")


def name_of_split_zip(part: str) -> str:
    """Return the name by which a split zip is read, if this is the name of another of its parts; else empty.

    Example:
        >>> name_of_split_zip("a.zip.002"), name_of_split_zip("a.z01"), name_of_split_zip("a.zip")
        ('a.zip.001', 'a.zip', '')
    """
    match = _OTHER_PART.fullmatch(part)
    return "" if not match else f"{match[1]}.001" if match[1] else f"{match[2]}.zip"


def slugify(text: str) -> str:
    """Turn any text into a name of letters, digits, - and _.

    Example:
        >>> slugify("My Photos (2019)")
        'My-Photos-2019'
    """
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-") or "folder"
