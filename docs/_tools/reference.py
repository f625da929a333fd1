"""MkDocs hook that writes the reference of tasks and configuration from the code.

It imports `tasks`, walks what Luigi has registered, and adds two pages to the build: `reference/tasks.md` and
`reference/configuration.md`. No file is written, so the pages always say what the code says.

    python docs/_tools/reference.py tasks             # print a page
    python docs/_tools/reference.py configuration
"""

import inspect
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import luigi
from luigi.parameter import _no_value
from luigi.task_register import Register

import tasks

DOCS = Path(__file__).parents[1]
TASKS_PAGE, CONFIGURATION_PAGE = "reference/tasks.md", "reference/configuration.md"
_SECTIONS = (
    "store",
    "remote",
    "crops",
    "video",
    "scores",
    "selection",
    "model",
    "training",
    "search",
    "export",
    "evaluation",
    "upscaling",
    "speed",
)
"""The order of the sections on the page; any other comes after them."""
_TYPES: tuple[tuple[type[luigi.Parameter], str], ...] = (
    (luigi.BoolParameter, "true or false"),
    (luigi.IntParameter, "a whole number"),
    (luigi.FloatParameter, "a number"),
    (luigi.Parameter, "text"),
)
"""What to call the values of parameters that do not describe them; the first class that fits counts."""


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages to the site (MkDocs calls this).

    Args:
        files: the collection of the site's files.
        config: the site's configuration.

    Returns:
        The same collection.
    """
    from mkdocs.structure.files import File

    for path, content in ((TASKS_PAGE, tasks_page()), (CONFIGURATION_PAGE, configuration_page())):
        files.append(File.generated(config, path, content=content))
    return files


def tasks_page() -> str:
    """Return the page that lists every task with its parameters, as Markdown."""
    known = {name: getattr(tasks, name) for name in sorted(tasks.__all__)}
    lines = [
        "# Tasks",
        "",
        "This page is generated from the code. `sr-factory TASK` is the same as `luigi --module tasks TASK`.",
        "Every [configuration key](configuration.md) can be given to every task, as `--section-key VALUE`.",
        "",
        "| task | what it makes |",
        "|---|---|",
    ]
    lines += [f"| {_link(name, known)} | {_cell(_summary(cls))} |" for name, cls in known.items()]
    users = users_of_tasks()
    for name, cls in known.items():
        lines += ["", f"## {name}", "", _docstring(cls), ""]
        if needed := [_link(one, known) for one, using in users.items() if name in using]:
            lines.append(f"- Needs: {', '.join(needed)}")
        if using := [_link(one, known) for one in users.get(name, [])]:
            lines.append(f"- Used by: {', '.join(using)}")
        if isinstance(record := getattr(cls, "record", None), str) and isinstance(
            getattr(cls, "stage", None), str
        ):
            lines.append(f"- Result: `{cls.stage}/NAME-HEX/{record}` in the [store](../explanation/store.md)")
        if extra := getattr(cls, "extra", ""):
            lines.append(f"- Installed by: `.[{extra}]`")
        rows = [_row(f"--{key.replace('_', '-')}", parameter) for key, parameter in cls.get_params()]
        lines += ["", *_table("option", rows)] if rows else ["", "It takes no options of its own."]
    return "\n".join(lines) + "\n"


def configuration_page() -> str:
    """Return the page that lists every configuration section and key, as Markdown."""
    lines = [
        "# Configuration",
        "",
        "This page is generated from the code. A key can be set in four places; the last one wins:",
        "",
        "1. the defaults in the package, listed below;",
        "2. `luigi.cfg` in the working directory;",
        "3. the file that the environment variable `LUIGI_CONFIG_PATH` names;",
        "4. the command line, as `--section-key VALUE`: `root` of `[store]` is `--store-root`.",
        "",
        "A key that is true or false is switched on by `--section-key` alone.",
        "[Command line](command-line.md) has an example of each.",
    ]
    for name, section in config_sections().items():
        rows = [_row(key, parameter) for key, parameter in section.get_params()]
        lines += ["", f"## [{name}]", "", _docstring(section), "", *_table("key", rows)]
        lines += ["", f"On the command line: `--{name}-KEY`, with `-` in place of `_`."]
    return "\n".join(lines) + "\n"


def config_sections() -> dict[str, type[luigi.Config]]:
    """Return the configuration sections of the project by name."""
    found = {
        cls.get_task_family(): cls
        for cls in Register._get_reg().values()
        if inspect.isclass(cls) and issubclass(cls, luigi.Config) and cls.__module__.startswith("tasks.")
    }
    order = [name for name in _SECTIONS if name in found] + sorted(set(found) - set(_SECTIONS))
    return {name: found[name] for name in order}


def users_of_tasks() -> dict[str, list[str]]:
    """Return which tasks use each task, as the arrows in the docstring of `tasks` say."""
    arrows = re.findall(r"^\s*(\w+) → (\w+(?:, \w+)*)$", tasks.__doc__ or "", re.MULTILINE)
    return {source: users.split(", ") for source, users in arrows}


def _table(first: str, rows: list[tuple[str, ...]]) -> list[str]:
    return [f"| {first} | value | default | description |", "|---|---|---|---|"] + [
        "| " + " | ".join(_cell(text) for text in row) + " |" for row in rows
    ]


def _row(name: str, parameter: luigi.Parameter) -> tuple[str, ...]:
    expected = getattr(parameter, "expected", None) or next(
        words for cls, words in _TYPES if isinstance(parameter, cls)
    )
    # Both Luigi and the project's own class append the choices to the description; they have a column here.
    description = re.sub(r" ?Choices: \{.*\}$", "", parameter.description or "")
    description = description.removesuffix(expected).removesuffix("; ")
    return f"`{name}`", expected, _default(parameter), re.sub(r"docs/([\w/-]+)\.md", _link_page, description)


def _default(parameter: luigi.Parameter) -> str:
    value = getattr(parameter, "_default", _no_value)
    if value is _no_value:
        return "required"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float):
        return f"`{value:g}`"
    text = "" if value is None else parameter.serialize(value)
    return f"`{text}`" if text else "empty"


def _link(name: str, known: Iterable[str]) -> str:
    return f"[`{name}`](#{name.lower()})" if name in known else f"`{name}`"


def _link_page(match: re.Match[str]) -> str:
    """Turn a mention of a page of this documentation into a link."""
    is_there = (DOCS / f"{match[1]}.md").is_file()
    return f"[{match[0]}](../{match[1]}.md)" if is_there else match[0]


def _docstring(cls: type) -> str:
    return inspect.cleandoc(cls.__doc__ or "")


def _summary(cls: type) -> str:
    return _docstring(cls).partition("\n\n")[0].rstrip(".")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    print(tasks_page() if sys.argv[1:] == ["tasks"] else configuration_page())
