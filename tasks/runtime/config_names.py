"""Refuse sections and keys of luigi.cfg that nothing reads: Luigi ignores them, and with them what they should set."""

import configparser
import difflib
import os
from collections.abc import Iterable
from pathlib import Path

import luigi.configuration
from luigi.task_register import Register

from data.errors import UserError
from tasks.runtime.renamed_keys import find_renamed

_UNDECLARED = ("cors", "datadog", "hadoop", "logging", "resources", "retcode", "spark", "task_history")
"""Sections of Luigi that no class declares, or only one that not every program imports."""
_PATH_VARIABLE = "LUIGI_CONFIG_PATH"
_Names = dict[str, set[str] | None]
"""For each section its keys; None where any key may be read."""


def check_names() -> None:
    """Check the sections and keys of the configuration files, apart from those of the whole machine in /etc.

    Raises:
        UserError: nothing reads one of them, or the file that `LUIGI_CONFIG_PATH` names does not exist.
    """
    named = os.environ.get(_PATH_VARIABLE)
    if named and not Path(named).is_file():
        raise UserError(f"{_PATH_VARIABLE} names {named}, which is not a file", "Correct or unset it")
    parser = luigi.configuration.get_config()
    if not isinstance(parser, luigi.configuration.LuigiConfigParser):
        return
    known = _known_names()
    for path in dict.fromkeys(parser._config_paths):
        if not path.startswith("/etc/"):
            _check_file(path, known)


def _known_names() -> _Names:
    """Return every section that is read."""
    known: _Names = dict.fromkeys(_UNDECLARED)
    for name, cls in Register._get_reg().items():
        is_ours = isinstance(cls, type) and cls.__module__.partition(".")[0] != "luigi"
        known[name] = {parameter for parameter, _ in cls.get_params()} if is_ours else None
    return known


def _check_file(path: str, known: _Names) -> None:
    content = configparser.ConfigParser(interpolation=None)
    content.optionxform = str  # type: ignore[assignment,method-assign]  # the documented way to keep upper case
    content.read(path)
    for section in content.sections():
        if section not in known:
            hint = _suggest(section, known, "[{}]")
            raise UserError(f"{path} has a section [{section}], which nothing reads", hint)
        keys = known[section]
        for key in content[section] if keys is not None else ():
            if keys is not None and key.replace("-", "_") not in keys and key not in content.defaults():
                hint = find_renamed(section, key) or _hint(key, keys, known)
                raise UserError(f"{path} sets [{section}] {key}, which nothing reads", hint)


def _hint(key: str, keys: set[str], known: _Names) -> str:
    """Return what to write in place of a wrong key of a section."""
    elsewhere = [section for section, names in known.items() if names and key in names and section.islower()]
    if elsewhere:
        return f"{key} belongs to {' or '.join(f'[{section}]' for section in elsewhere)}"
    return _suggest(key, keys, "{}")


def _suggest(wrong: str, names: Iterable[str], form: str) -> str:
    by_lower = {name.lower(): name for name in sorted(names)}
    close = difflib.get_close_matches(wrong.lower().replace("-", "_"), by_lower, n=1)
    if close:
        return f"Did you mean {form.format(by_lower[close[0]])}?"
    return "Remove it; luigi --module tasks FullPipeline --help-all lists all sections and keys"
