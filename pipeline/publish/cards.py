"""README.md files of a published store, as people and Hugging Face read them.

A crop dataset has a card of its own. Other directories get one here, and the URL itself gets one that names every
dataset that is there, so that `load_dataset` opens each as a configuration.
"""

import json
from pathlib import Path

from data.atomic_files import read_json
from data.errors import UserError
from pipeline.publish.file_list import LIST, Place, parse_list
from pipeline.publish.remote import RemoteFolder

CARD = "README.md"
_MARK = "# Written by PublishDataset; remove this line to keep your own text."
_SPLITS = ("train", "validation")
_ABOUT = {
    "selections": "A selection: which crops of the datasets it names are for training and for validation. "
    "`FetchDataset` brings the shards along; `[selection] url` trains on it.",
    "models": "A network in fp32: `model.safetensors` has the weights, `model.json` how it is built.",
    "exports": "A network to deploy: bytes in, bytes out. `export.json` says how it was checked.",
}
_LONGEST_VALUE = 200


def render_card(directory: Path, place: Place) -> str:
    """Return the card of a directory that has none of its own: what it is, and the short facts of its record."""
    record = read_json(directory / place.record)
    facts = {
        name: value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
        for name, value in record.items()
        if value not in ("", None, {}, [])
    }
    rows = "".join(
        f"| `{name}` | {' '.join(text.split()).replace('|', chr(92) + '|')} |\n"
        for name, text in facts.items()
        if len(text) <= _LONGEST_VALUE
    )
    return f"# {place.name}\n\n{_ABOUT[place.stage]}\n\n| `{place.record}` | |\n|---|---|\n{rows}"


def write_collection_card(remote: RemoteFolder) -> str:
    """Write the card of the URL itself: a configuration for each whole dataset.

    Returns:
        What was left alone, in words: a card by another author. Empty otherwise.
    """
    present = remote.read(CARD)
    if present is not None and _MARK.encode() not in present:
        return f"{remote.place(CARD)} is not by this program and stays as it is"
    names = [name for name in remote.list_folders("crops") if remote.exists(f"crops/{name}/dataset.json")]
    found = {name: _render_config(remote, name) for name in names}
    names = [name for name in names if found[name]]
    configs = "".join(found[name] for name in names)
    text = f"---\n{_MARK}\nconfigs:\n{configs}---\n\n# Crop datasets\n\n" + "".join(
        f"- [{name}](crops/{name}/README.md)\n" for name in names
    )
    if text.encode() != present:
        remote.write(CARD, text.encode())
    return ""


def _render_config(remote: RemoteFolder, name: str) -> str:
    """Return the YAML that makes one dataset a configuration of `load_dataset`; nothing without a list."""
    place = Place("crops", name)
    path = f"{place.directory}/{LIST}"
    try:
        published = parse_list(remote.read(path) or b"", place, remote.place(path))
    except UserError:
        return ""
    splits = [
        split
        for split in _SPLITS
        if any(file.path.startswith(f"shards/{split}-") for file in published.files)
    ]
    files = "".join(
        f"      - split: {split}\n        path: crops/{name}/shards/{split}-*.tar\n" for split in splits
    )
    return f"  - config_name: {json.dumps(name, ensure_ascii=False)}\n    data_files:\n{files}"
