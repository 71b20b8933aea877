"""Linear algebra of what is not seen: null spaces, sparse bases, whole exponents, and the groups that they mean."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

__all__ = ["blocks", "formula", "invariants", "is_clear", "null_space", "rank", "reduced", "standard_errors"]

# A singular value below this share of the largest, of columns of length 1, is nothing: with the solver's tolerance what
# is exactly zero comes out at 1e-9 and below, and what is merely hard to see mostly at 1e-5 and above.
NOTHING = 1e-7
GAP = 1e3  # between the last singular value that counts and the first that does not: then it is clear which is which
WHOLE = 2e-3  # how close an exponent must be to a fraction to be taken for it; below it, an exponent is zero
LARGEST_DENOMINATOR = 8
PART = 1e-5  # of a direction that is not seen: less than this is rounding
UNKNOWN = 100.0  # a relative standard error above this says that nothing is known


def rank(matrix: np.ndarray) -> tuple[int, np.ndarray]:
    """Rank and singular values of a matrix whose columns are first brought to length 1.

    Parameters
    ----------
    matrix : array of shape (n_rows, n)

    Returns
    -------
    rank : int
    singular : array of shape (min(n_rows, n),)
        In falling order.
    """
    length = np.linalg.norm(matrix, axis=0)
    singular = np.linalg.svd(matrix / np.where(length > 0, length, 1.0), compute_uv=False)
    return int(np.sum(singular > NOTHING * max(singular, default=0.0))), singular


def is_clear(singular: np.ndarray, rank: int) -> bool:
    """Whether a gap separates the singular values that count from those that are nothing."""
    return rank == 0 or rank >= len(singular) or bool(singular[rank - 1] > GAP * singular[rank])


def null_space(matrix: np.ndarray, nothing: float = NOTHING) -> np.ndarray:
    """Directions that a matrix does not see, shape (n_directions, n)."""
    length = np.linalg.norm(matrix, axis=0)
    length = np.where(length > 0, length, 1.0)
    _, singular, right = np.linalg.svd(matrix / length, full_matrices=True)
    seen = int(np.sum(singular > nothing * max(singular, default=0.0)))
    return np.asarray(right[seen:] / length)


def reduced(directions: np.ndarray, entry: float = WHOLE) -> np.ndarray:
    """A basis with many zeros: each direction has a 1 where the others have a 0, from the last column backwards.

    Reduced row echelon form with the largest pivot of each column.

    Parameters
    ----------
    directions : array of shape (n_directions, n)
    entry : float
        What is smaller than this, in a direction whose 1 it stands beside, is zero.

    Returns
    -------
    array of shape (n_directions, n)
    """
    rows = directions / np.max(np.abs(directions), axis=1, keepdims=True, initial=1e-300)
    done = 0
    for column in reversed(range(rows.shape[1])):
        if done == len(rows):
            break
        best = done + int(np.argmax(np.abs(rows[done:, column])))
        if abs(rows[best, column]) < entry:
            continue
        rows[[done, best]] = rows[[best, done]]
        rows[done] /= rows[done, column]
        others = np.arange(len(rows)) != done
        rows[others] -= np.outer(rows[others, column], rows[done])
        done += 1
    return np.where(np.abs(rows) < entry, 0.0, rows)[:done]


def blocks(directions: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Directions that share parameters, together.

    Parameters
    ----------
    directions : array of shape (n_directions, n)
        In reduced form.

    Returns
    -------
    list of (rows, columns)
        Positions of the directions and of the parameters of each block.
    """
    left = list(range(len(directions)))
    found = []
    while left:
        rows = [left.pop(0)]
        for row in rows:  # grows while it is read
            touching = [k for k in left if np.any((directions[k] != 0) & (directions[row] != 0))]
            rows += touching
            left = [k for k in left if k not in touching]
        found.append((np.array(sorted(rows)), np.flatnonzero(np.any(directions[rows] != 0, axis=0))))
    return found


def fraction(x: float) -> Fraction:
    """The simple fraction that a number stands for, or the number to three decimals."""
    simple = Fraction(x).limit_denominator(LARGEST_DENOMINATOR)
    return simple if abs(float(simple) - x) < WHOLE else Fraction(round(x * 1000), 1000)


def invariants(directions: np.ndarray) -> list[list[Fraction]]:
    """Exponents of the products that do not change along any of the directions: a basis, first entry positive.

    Parameters
    ----------
    directions : array of shape (n_directions, n)
        Of one block, in reduced form.

    Returns
    -------
    list of list of Fraction
    """
    rows = [[fraction(float(x)) for x in row] for row in directions]
    pivots = [max(k for k, x in enumerate(row) if x != 0) for row in rows]
    found = []
    for free in (k for k in range(directions.shape[1]) if k not in pivots):
        solution = [Fraction(0)] * directions.shape[1]
        solution[free] = Fraction(1)
        for row, pivot in zip(rows, pivots, strict=True):
            solution[pivot] = -row[free] / row[pivot]
        first = next(x for x in solution if x != 0)
        found.append([x / abs(first) * (1 if first > 0 else -1) for x in solution])
    return found


def formula(names: Sequence[str], exponents: Sequence[Fraction]) -> str:
    """Write a product of powers: ``q0/(V_loc k_Ploc EC50_P)``."""
    above = [_power(name, x) for name, x in zip(names, exponents, strict=True) if x > 0]
    below = [_power(name, -x) for name, x in zip(names, exponents, strict=True) if x < 0]
    over = " ".join(above) or "1"
    return over if not below else f"{over}/{below[0]}" if len(below) == 1 else f"{over}/({' '.join(below)})"


def _power(name: str, x: Fraction) -> str:
    if x == 1:
        return name
    if x.denominator == 1:
        return f"{name}^{x}"
    return f"{name}^({x})" if x.denominator <= LARGEST_DENOMINATOR else f"{name}^{float(x):.2g}"


def standard_errors(matrix: np.ndarray, prior_sd: np.ndarray | None = None) -> np.ndarray:
    """Standard errors of all parameters together, from a matrix in units of the noise.

    Parameters
    ----------
    matrix : array of shape (n_rows, n)
    prior_sd : array of shape (n,), optional
        Relative scale; infinite where there is no prior.

    Returns
    -------
    array of shape (n,)
        Relative scale; infinite for parameters with a part in a direction that is not seen at all.
    """
    known = np.zeros((matrix.shape[1], matrix.shape[1])) if prior_sd is None else np.diag(1.0 / prior_sd)
    matrix = np.vstack([matrix, known])  # zeros where there is no prior: as many rows as parameters at least
    length = np.linalg.norm(matrix, axis=0)
    safe = np.where(length > 0, length, 1.0)
    _, singular, right = np.linalg.svd(matrix / safe, full_matrices=False)
    seen = singular > NOTHING * max(singular, default=0.0)
    errors = np.linalg.norm(right[seen].T / singular[seen], axis=1) / safe
    lost = np.any(np.abs(right[~seen]) > PART, axis=0)
    return np.where(lost | (errors > UNKNOWN) | (length == 0), np.inf, errors)
