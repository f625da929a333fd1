"""The one exception for what a person can mend, worded so that they know how.

A single bad image never raises it: that is a `data.records.Rejection`. This is for faults that stop a stage.
"""


class UserError(Exception):
    """Input, a parameter or the machine is not as it must be; the message says what to do.

    The text reads "Expected X, got Y in Z; do W." and always fits on one line.

    Args:
        expected: what would have been right, as a noun phrase.
        got: what was found instead.
        where: the file, parameter or place.
        remedy: what the person can do, in the imperative.
    """

    def __init__(self, expected: str, got: str, where: str, remedy: str) -> None:
        super().__init__(expected, got, where, remedy)
        self.expected, self.got, self.where, self.remedy = expected, got, where, remedy

    def __str__(self) -> str:
        text = f"Expected {self.expected}, got {self.got} in {self.where}; {self.remedy}."
        return " ".join(text.split())
