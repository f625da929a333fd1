"""Find HR and LR images of the same scenes beside each other, so that LR images are never taken for HR images.

Folders with the usual names (HR, GTmod12, DIV2K_train_HR; LR, LRbicx4, DIV2K_train_LR_bicubic) are known by these. Of
other sets with equal names a few images are compared: where their sizes have a whole ratio, the smaller ones are LR.
"""

import dataclasses
import itertools
import os
import re
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from data.catalog.folder_contents import FolderContents, ImageSet, image_names, split_scale
from data.errors import UserError
from data.exhaustion import raise_if_exhausted

_HR = re.compile(r"(^|[^a-z0-9])(hr|gt)(mod\d+|x?\d+)?($|[^a-z0-9])")
_LR = re.compile(r"(^|[^a-z0-9])lr(bic|bicubic)?(x?\d+)?($|[^a-z0-9])")
_SAMPLES = 4
"""Pairs of images whose sizes are compared for two sets."""
_FEWEST_PAIRS = 2
"""One pair alone, such as the cover.jpg of two albums, shows nothing."""
_LARGEST_GROUP = 16
"""Sets with equal names that are compared with each other. More are no scales but, say, the clips of a dataset."""
_MOST_GROUPS = 64
"""Groups of such sets that are compared in one folder, so that a huge folder costs no more headers."""


@dataclasses.dataclass(frozen=True)
class _Pair:
    """HR and LR images beside each other: the folder, the paths of both, and how they were recognized."""

    folder: str
    hr: str
    lr: str
    why: str = ""


def benchmark_folders(contents: FolderContents, root: str) -> tuple[str, str] | None:
    """Return the folders of the HR and the LR images of a benchmark; None where the folder is none.

    It has one folder of HR and one of LR images, and nothing else: HR and LR in any case, or other usual names whose
    images have equal names.
    """
    family = contents.families.get(root, {})
    hr_names = [name for name in family if _is_hr(name)]
    lr_names = [name for name in family if _is_lr(name)]
    if len(hr_names) != 1 or len(lr_names) != 1 or len(family) != 2:
        return None
    hr, lr = family[hr_names[0]], family[lr_names[0]]
    return (hr.path, lr.path) if hr.names == lr.names else None


def refuse_mixed_sets(contents: FolderContents) -> None:
    """Refuse a folder that holds HR and LR images of the same scenes.

    Raises:
        UserError: it does; the error names both and says what to give instead.
    """
    searches = (_pairs_by_name, _pairs_by_size, _pairs_by_suffix)
    found = next(itertools.chain.from_iterable(search(contents) for search in searches), None)
    if found is None:
        return
    message = f"{found.folder} holds HR and LR images beside each other: {found.hr} and {found.lr}{found.why}"
    if benchmark_folders(contents, found.folder):
        hint = f"Give the path of this folder, {found.folder}, or of its HR images alone"
    elif found.hr == found.folder or not Path(found.hr).is_dir():
        hint = "Move the HR images into a folder of their own and give its path"
    else:
        hint = (
            f"Give the path of the HR images alone, {found.hr}. To evaluate on these LR images, make a folder with "
            "HR/ and LR/ whose files have the same names"
        )
    raise UserError(message, hint)


def _is_hr(name: str) -> bool:
    return bool(_HR.search(name.lower())) and not _is_lr(name)


def _is_lr(name: str) -> bool:
    return bool(_LR.search(name.lower()))


def _pairs_by_name(contents: FolderContents) -> Iterator[_Pair]:
    """Find folders with the usual names beside each other."""
    for folder, family in contents.families.items():
        hr = next((one for name, one in family.items() if _is_hr(name)), None)
        lr = next((one for name, one in family.items() if _is_lr(name)), None)
        if hr and lr:
            yield _Pair(folder, hr.path, lr.path)


def _pairs_by_size(contents: FolderContents) -> Iterator[_Pair]:
    """Find sets with equal names in one folder whose sizes have a whole ratio."""
    compared = 0
    for folder, family in contents.families.items():
        groups: dict[int, list[ImageSet]] = {}
        for one in family.values():
            groups.setdefault(one.stems, []).append(one)
        for group in groups.values():
            if 1 < len(group) <= _LARGEST_GROUP and compared < _MOST_GROUPS:
                compared += 1
                yield from _compare_sets(contents, folder, group)


def _compare_sets(contents: FolderContents, folder: str, group: list[ImageSet]) -> Iterator[_Pair]:
    samples = [_sample_sizes(contents, one) for one in group]
    for (hr, hr_sizes), (lr, lr_sizes) in itertools.permutations(zip(group, samples, strict=True), 2):
        shared = set(hr_sizes) & set(lr_sizes)
        ratios = {_whole_ratio(hr_sizes[stem], lr_sizes[stem]) for stem in shared}
        if len(shared) >= _FEWEST_PAIRS and len(ratios) == 1 and ratios != {0}:
            why = f" have the same names, and the latter are {ratios.pop()} times smaller"
            yield _Pair(folder, hr.path, lr.path, why)


def _pairs_by_suffix(contents: FolderContents) -> Iterator[_Pair]:
    """Find images in one folder whose names differ by x2 or by HR and LR, and whose sizes have a whole ratio."""
    for folder, names in itertools.islice(contents.suffix_pairs.items(), _MOST_GROUPS):
        paths = [(os.path.join(folder, hr), os.path.join(folder, lr)) for hr, lr in names]
        sizes = [(_read_size(hr), _read_size(lr)) for hr, lr in paths]
        if len(paths) >= _FEWEST_PAIRS and all(hr and lr and _whole_ratio(hr, lr) for hr, lr in sizes):
            yield _Pair(folder, *paths[0])


def _sample_sizes(contents: FolderContents, images: ImageSet) -> dict[str, tuple[int, int]]:
    """Return the sizes of a few images of a set by their stems: of sets with equal stems the same ones."""
    directory = images.path
    while not images.is_own and "" not in contents.families[directory]:
        directory = os.path.join(directory, next(iter(contents.families[directory])))
    by_stem = {split_scale(name)[0]: name for name in sorted(image_names(os.listdir(directory)))}
    stems = sorted(by_stem)
    chosen = (
        {stems[place * (len(stems) - 1) // (_SAMPLES - 1)] for place in range(_SAMPLES)} if stems else set()
    )
    sizes = {stem: _read_size(os.path.join(directory, by_stem[stem])) for stem in chosen}
    return {stem: size for stem, size in sizes.items() if size}


def _read_size(path: str) -> tuple[int, int] | None:
    """Return an image's longer and shorter side from its header; None if that can't be read."""
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                return max(image.size), min(image.size)
    except Exception as error:  # whatever is wrong with this image, the index will say
        raise_if_exhausted(error)
        return None


def _whole_ratio(larger: tuple[int, int], smaller: tuple[int, int]) -> int:
    """Return the scale that turns one size into the other, whichever way it is rounded; 0 if there is none above 1."""
    ratio = round(larger[0] / smaller[0])
    is_whole = all(abs(side - other * ratio) < ratio for side, other in zip(larger, smaller, strict=True))
    return ratio if ratio > 1 and is_whole else 0
