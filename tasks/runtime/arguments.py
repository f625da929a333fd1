"""Check the command line and luigi.cfg before anything runs, and word every mistake in one line.

Luigi parses a parameter only when a task first needs it, and answers a wrong value with a traceback.
"""

import difflib
import re
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from configparser import InterpolationError, InterpolationSyntaxError
from functools import partial
from typing import Any, NoReturn

import luigi
from luigi.cmdline_parser import CmdlineParser
from luigi.task_register import Register, TaskClassException

from data.errors import UserError
from tasks.runtime.config_names import check_names
from tasks.runtime.renamed_keys import find_renamed_option
from tasks.runtime.store_task import StoreTask

_EXPECTED: dict[type, str] = {
    luigi.IntParameter: "a whole number",
    luigi.FloatParameter: "a number",
    luigi.BoolParameter: "true or false",
}
"""What Luigi's own parameters take; those of `tasks.runtime.parameters` have an attribute `expected`."""
USAGE_EXIT_CODE = 2


def check(parser: CmdlineParser) -> None:
    """Parse every parameter that the command line and luigi.cfg set.

    Args:
        parser: Luigi's, which has read the command line.

    Raises:
        UserError: a value is invalid, nothing reads a section or key of a file, or the named task lacks a parameter
            that it requires.
    """
    check_names()
    given = vars(parser.known_args)
    config = luigi.configuration.get_config()
    for section, _, name, parameter in Register.get_all_params():
        flag = _flag(section, name)
        if text := given.get(f"{section}_{name}"):
            _check_value(parameter, text, flag)
        elif config.has_option(section, name):
            _check_value(parameter, _read(section, name), f"[{section}] {name} in luigi.cfg")
        if section == given["root_task"]:
            if text := given.get(name):
                _check_value(parameter, text, _flag(name))
            elif not parameter.has_task_value(section, name):
                meaning = f" ({parameter.description})" if parameter.description else ""
                raise UserError(
                    f"{section} needs {_flag(name)}{meaning}", f"Add {_flag(name)} to the command"
                )


def shorten_parser_errors() -> None:
    """Make Luigi's argument parser answer a mistake with one line, and accept options only under their full name.

    Luigi looks for the task's name before it knows the task's options. With abbreviations allowed it would read
    --model, which many tasks have, as the beginning of --model-preset.
    """
    build: Callable[..., ArgumentParser] = CmdlineParser._build_parser

    def build_terse(*arguments: Any, **options: Any) -> ArgumentParser:
        parser = build(*arguments, **options)
        parser.error = partial(_exit_with_usage_error, parser)  # type: ignore[method-assign]  # no hook for it
        parser.allow_abbrev = False
        return parser

    CmdlineParser._build_parser = staticmethod(build_terse)  # type: ignore[method-assign]  # nor has Luigi


def explain(error: BaseException) -> str | None:
    """Return the one-line message for an error that the user can fix; None for any other error."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, TaskClassException):
        named = re.match(r"(?:No task|Task) '?(.*?)'?(?:\. | is )", str(error))
        known = sorted(name for name, cls in Register._get_reg().items() if _is_project_task(cls))
        message = f"There is no task {named.group(1)!r}" if named else str(error)
        return str(UserError(message, f"Choose one of {', '.join(known)}"))
    return None


def _is_project_task(cls: Any) -> bool:
    """Tell the project's tasks from Luigi's own, from sections of luigi.cfg and from base classes."""
    if not isinstance(cls, type) or issubclass(cls, luigi.Config) or cls.__module__.startswith("luigi."):
        return False
    return hasattr(cls, "stage") or not issubclass(cls, StoreTask)


def _read(section: str, name: str) -> str:
    """Return a value of luigi.cfg with its references to other keys and to the environment resolved."""
    try:
        return str(luigi.configuration.get_config().get(section, name))
    except InterpolationSyntaxError as error:
        raise UserError(f"[{section}] {name} in luigi.cfg has a single %", "Write %% for each %") from error
    except InterpolationError as error:
        raise UserError(f"[{section}] {name} in luigi.cfg can't be resolved: {error}") from error


def _check_value(parameter: Any, text: str, where: str) -> None:
    try:
        parameter.normalize(parameter.parse(text))
    except UserError as error:
        raise UserError(f"{where}: {error.message}", error.hint) from error
    except Exception as error:
        expected = getattr(parameter, "expected", None) or _EXPECTED.get(type(parameter))
        rule = f"it must be {expected}" if expected else f"it cannot be read ({error})"
        raise UserError(f"{where} is {text!r}, but {rule}") from error


def _flag(*words: str) -> str:
    return "--" + "-".join(words).replace("_", "-")


def _exit_with_usage_error(parser: ArgumentParser, message: str) -> NoReturn:
    flags = [flag for action in parser._actions for flag in action.option_strings]
    option = message.rpartition(": ")[2].split()[0].partition("=")[0]
    close = difflib.get_close_matches(option, flags, n=1)
    hint = f"did you mean {close[0]}?" if close else "--help lists the options."
    hint = find_renamed_option(option) or hint
    print(f"{parser.prog}: {message}; {hint}", file=sys.stderr)
    raise SystemExit(USAGE_EXIT_CODE)
