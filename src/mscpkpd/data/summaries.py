"""Published summaries as mean and standard deviation of one subject (B16)."""

from __future__ import annotations

import math

__all__ = ["D2", "log_of_quartiles", "mean_of_range"]

# expected range of n standard normal values, n = 2 to 10
D2 = {2: 1.128, 3: 1.693, 4: 2.059, 5: 2.326, 6: 2.534, 7: 2.704, 8: 2.847, 9: 2.970, 10: 3.078}
QUARTILE_DISTANCE = 2 * 0.6744897501960817  # between the quartiles of a standard normal


def mean_of_range(lower: float, upper: float, n: int) -> tuple[float, float]:
    """Return mean and standard deviation behind a range.

    mean = (lower + upper)/2, sd = (upper - lower)/d2(n).

    Parameters
    ----------
    lower, upper : float
        Smallest and largest of `n` values.
    n : int
        Number of subjects, 2 to 10.

    Returns
    -------
    tuple of float
        Mean and standard deviation of one subject, in the unit of the limits.
    """
    return (lower + upper) / 2, (upper - lower) / D2[n]


def log_of_quartiles(median: float, lower: float, upper: float) -> tuple[float, float]:
    """Return mean and standard deviation of the natural logarithm behind a median with quartiles.

    mean = ln(median), sd = (ln upper - ln lower)/1.349, exact for a log-normal quantity.

    Parameters
    ----------
    median, lower, upper : float
        Median, first and third quartile, all above 0.

    Returns
    -------
    tuple of float
        Mean and standard deviation of the logarithm of one subject.
    """
    return math.log(median), (math.log(upper) - math.log(lower)) / QUARTILE_DISTANCE
