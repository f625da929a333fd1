"""Explain in one line why a configuration file can't be read.

Luigi reads the files when it is imported, so nothing of it is imported here.
"""

import configparser


def explain_syntax(error: Exception) -> str | None:
    """Return what is wrong where in a configuration file, and what to do; None for any other error.

    Args:
        error: what reading the files raised.
    """
    match error:
        case configparser.DuplicateOptionError():
            return f"{error.source}, line {error.lineno}: [{error.section}] {error.option} is set twice. Keep one."
        case configparser.DuplicateSectionError():
            return f"{error.source}, line {error.lineno}: the section [{error.section}] is there twice. Join the two."
        case configparser.MissingSectionHeaderError() if error.line.startswith(("\ufeff", "ï»¿")):
            return f"{error.source} begins with a byte order mark. Save it as UTF-8 without one."
        case configparser.MissingSectionHeaderError():
            return f"{error.source}, line {error.lineno}: {error.line.strip()!r} is above the first [section]. Move it."
        case configparser.ParsingError():
            number, line = error.errors[0]
            return f"{error.source}, line {number}: {line} is not of the form key = value. Correct it."
        case UnicodeDecodeError():
            return f"luigi.cfg is not valid text ({error}). Save it as UTF-8."
    return None
