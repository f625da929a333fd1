"""Mistakes on the command line and in luigi.cfg, said in one line before anything runs.

Luigi looks at a parameter only when a task first needs it, and answers a bad one with a traceback. It never
reads what a value means beyond its type: that is for the stage that uses it.
"""

import difflib
import re
import sys
from argparse import ArgumentParser
from functools import partial
from typing import Any, NoReturn

import luigi
from luigi.cmdline_parser import CmdlineParser
from luigi.task_register import Register, TaskClassException

from data.errors import UserError
from tasks.runtime.store_task import StoreTask

_KINDS = {
    luigi.IntParameter: "a whole number",
    luigi.FloatParameter: "a number",
    luigi.BoolParameter: "true or false",
}
USAGE_EXIT_CODE = 2


def check(parser: CmdlineParser) -> None:
    """Look at every parameter that the command line and luigi.cfg give.

    Raises:
        UserError: a parameter does not read as what it is, or one that the named task needs is not there.
    """
    arguments = parser.known_args
    for section, _, name, parameter in Register.get_all_params():
        flag = _flag(section, name)
        given = getattr(arguments, f"{section}_{name}", None)
        if given:
            _read(parameter, given, flag)
        elif luigi.configuration.get_config().has_option(section, name):
            configured = luigi.configuration.get_config().get(section, name)
            _read(parameter, configured, f"luigi.cfg, [{section}] {name}")
        if section == arguments.root_task:
            own = getattr(arguments, name, None)
            if own:
                _read(parameter, own, _flag(name))
            elif not parameter.has_task_value(section, name):
                meaning = parameter.description or f"a value for {name}"
                where = f"{_flag(name)} of {section}"
                raise UserError(meaning, "nothing", where, f"add {_flag(name)} to the command")


def shorten_parser_errors() -> None:
    """Have Luigi's argument parser answer a mistake with one line, and take no part of an option's name for it.

    It looks for the task's name before it knows the task's options: --model, which many tasks have, is only
    the beginning of --model-preset and its like then.
    """
    build = CmdlineParser._build_parser

    def build_terse(*arguments: Any, **options: Any) -> ArgumentParser:
        parser = build(*arguments, **options)
        parser.error = partial(_refuse, parser)
        parser.allow_abbrev = False
        return parser

    CmdlineParser._build_parser = staticmethod(build_terse)


def explain(error: Exception) -> str | None:
    """Return the one line for an error that a person can mend; None for any other."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, TaskClassException):
        named = re.match(r"(?:No task|Task) '?(.*?)'?(?:\. | is )", str(error))
        known = [name for name, cls in Register._get_reg().items() if _is_task(cls)]
        got = repr(named.group(1)) if named else str(error)
        return str(
            UserError(
                "the name of a task", got, "the command line", f"choose one of {', '.join(sorted(known))}"
            )
        )
    return None


def _is_task(cls: Any) -> bool:
    """Tell the project's tasks from Luigi's own, from sections of luigi.cfg and from their base classes."""
    if not isinstance(cls, type) or issubclass(cls, luigi.Config) or cls.__module__.startswith("luigi."):
        return False
    return hasattr(cls, "record") or not issubclass(cls, StoreTask)


def _read(parameter: luigi.Parameter, text: str, where: str) -> None:
    try:
        parameter.normalize(parameter.parse(text))
    except Exception as error:
        kind = _KINDS.get(type(parameter), f"a value that can be read ({error})")
        raise UserError(kind, repr(text), where, "give another value") from error


def _flag(*words: str) -> str:
    return "--" + "-".join(words).replace("_", "-")


def _refuse(parser: ArgumentParser, message: str) -> NoReturn:
    flags = [flag for action in parser._actions for flag in action.option_strings]
    close = difflib.get_close_matches(message.rpartition(": ")[2].split()[0].partition("=")[0], flags, n=1)
    remedy = f"did you mean {close[0]}?" if close else "--help lists what it takes."
    print(f"{parser.prog}: {message}; {remedy}", file=sys.stderr)
    raise SystemExit(USAGE_EXIT_CODE)
