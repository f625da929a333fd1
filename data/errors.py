"""The one exception for faults that the user can fix.

A single bad image never raises it: that is a `data.records.Rejection`. This is for faults that stop a stage.
"""

from data.file_names import escape_name


class UserError(Exception):
    """An input, a parameter or the machine prevents the work; the text says what is wrong, where, and what to do.

    `str(error)` is the message and the hint as sentences, always on one line. What is not printable, as it may be in a
    file's name, is escaped.

    Args:
        message: what is wrong and where, as a sentence: "photos.zip is damaged: the directory at byte 120 has 3
            entries, but its end record says 2".
        hint: what to do, as an imperative sentence: "Download it again". Empty where nothing useful can be said.

    Example:
        >>> str(UserError("/data/x.zip is empty", "Download it again"))
        '/data/x.zip is empty. Download it again.'
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message, self.hint = message, hint

    def __str__(self) -> str:
        text = " ".join(_sentence(part) for part in (self.message, self.hint) if part)
        return escape_name(" ".join(text.split()))


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?", "…")) else text + "."
