"""Rules that a selection applies to stored metrics: `sharpness >= 1.5`, `noise <= p95`, `aesthetic > 0.4`."""

import collections
import dataclasses
import difflib
import re
from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from data.errors import UserError

_RULE = re.compile(r"\s*([\w+-]+)\s*(>=|<=|>|<)\s*(p?)(-?[\d.]+(?:e-?\d+)?)\s*")
_COMPARISONS: dict[str, Callable[[npt.NDArray[np.float64], float], npt.NDArray[np.bool_]]] = {
    ">=": np.greater_equal,
    "<=": np.less_equal,
    ">": np.greater,
    "<": np.less,
}


@dataclasses.dataclass(frozen=True)
class Rule:
    """What a metric of a crop must be to be selected."""

    metric: str
    """Name of a quality metric, or of a column of a file of scores."""
    comparison: str
    """>=, <=, > or <."""
    value: float
    """In the unit of the metric, or a percentile from 0 to 100."""
    is_percentile: bool
    """Whether `value` is a percentile of all crops that the selection reads."""

    def __str__(self) -> str:
        """Return the rule as `parse_rule` reads it."""
        return f"{self.metric} {self.comparison} {'p' if self.is_percentile else ''}{self.value:g}"

    def threshold(self, values: npt.NDArray[np.float64]) -> float:
        """Return the threshold in the unit of the metric.

        Args:
            values: the metric of all crops; NaN where there is none.
        """
        if not self.is_percentile:
            return self.value
        known = values[~np.isnan(values)]
        # One of the values itself: it does not depend on how numbers between two of them are rounded.
        return float(np.percentile(known, self.value, method="nearest")) if len(known) else float("nan")

    def passes(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Return which crops pass. One without a value does not."""
        return _COMPARISONS[self.comparison](values, self.threshold(values))

    def explain(self, value: float, threshold: float) -> str:
        """Return why a crop with this value does not pass."""
        if np.isnan(value):
            return f"{self.metric} has no value for it"
        side = "not " + {">=": "at least", "<=": "at most", ">": "above", "<": "below"}[self.comparison]
        percentile = f" (percentile {self.value:g})" if self.is_percentile else ""
        return f"{self.metric} is {value:g}, {side} {threshold:g}{percentile}"


def parse_rule(text: str) -> Rule:
    """Parse a rule: a metric, a comparison, and a number or a percentile.

    Raises:
        UserError: the text is no rule.

    Example:
        >>> parse_rule("noise <= p95")
        Rule(metric='noise', comparison='<=', value=95.0, is_percentile=True)
    """
    found = _RULE.fullmatch(text)
    if not found:
        raise UserError(
            f"[selection] rules: {text!r} is not a rule",
            "Write a metric, >=, <=, > or <, and a number or a percentile: sharpness >= 1.5, noise <= p95",
        )
    metric, comparison, percentile, number = found.groups()
    try:
        value = float(number)
    except ValueError:
        raise UserError(f"[selection] rules: {number!r} in {text!r} is not a number", "Correct it") from None
    if percentile and not 0 <= value <= 100:
        raise UserError(
            f"[selection] rules: {text!r} has a percentile that is not from 0 to 100", "Correct it"
        )
    return Rule(metric, comparison, value, bool(percentile))


def check_metrics(rules: Iterable[Rule], known: Iterable[str]) -> None:
    """Check that every rule names a known metric.

    Raises:
        UserError: one does not.
    """
    names = sorted(known)
    for rule in rules:
        if rule.metric not in names:
            close = difflib.get_close_matches(rule.metric, names, 1)
            suggestion = f"Did you mean {close[0]}? " if close else ""
            raise UserError(
                f"[selection] rules: there is no metric {rule.metric} in {str(rule)!r}",
                f"{suggestion}Use one of: {', '.join(names)}",
            )


def check_unambiguous(rules: Iterable[Rule], known: Iterable[str]) -> None:
    """Check that no rule names a metric that there are two of.

    Args:
        rules: the rules.
        known: the names of all metrics and scores, repeated where several files have one.

    Raises:
        UserError: one does.
    """
    counts = collections.Counter(known)
    for rule in rules:
        if counts[rule.metric] > 1:
            raise UserError(
                f"[selection] rules: {str(rule)!r} may mean several: {counts[rule.metric]} metrics or columns of "
                f"scores have the name {rule.metric}",
                "Rename the column in the file of scores",
            )
