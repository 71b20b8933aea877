"""Doses of cells as they may have been: viable fractions and losses within their uncertainty (T1, T3)."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from scipy.special import betaincinv

from mscpkpd.dosing import Dose, Regimen

__all__ = ["drawn_regimens", "is_uncertain"]


NOTHING = 1e-16  # a variance below that of rounding


def is_uncertain(regimens: Iterable[Regimen]) -> bool:
    """Whether any dose states the SD of its viable fraction or of what is lost."""
    return any(dose.viable_sd or dose.loss_sd for regimen in regimens for dose in regimen)


def drawn_regimens(regimen: Regimen, seed: int, subjects: int, draws: int) -> list[Regimen]:
    """Draw the doses of every subject and draw.

    Parameters
    ----------
    regimen : Regimen
    seed : int
        Same seed, same doses. A further subject or dose changes none of the others (G3).
    subjects, draws : int

    Returns
    -------
    list of Regimen
        Subject by subject and draw by draw. A fraction has the beta distribution of its mean and SD, so that it stays
        between 0 and 1.
    """
    columns = [[_drawn(dose, k, seed, i, draws) for k, dose in enumerate(regimen)] for i in range(subjects)]
    return [replace(regimen, doses=tuple(own[j] for own in doses)) for doses in columns for j in range(draws)]


def _drawn(dose: Dose, number: int, seed: int, subject: int, draws: int) -> list[Dose]:
    if not (dose.viable_sd or dose.loss_sd):
        return [dose] * draws
    viable = _fractions(dose.viable or 0.0, dose.viable_sd, f"viable fraction of dose {number}", seed, subject, draws)
    kept = 1.0 - _fractions(dose.loss, dose.loss_sd, f"loss of dose {number}", seed, subject, draws)
    amounts = dose.amount * kept / (1.0 - dose.loss)
    return [
        replace(
            dose, amount=float(amount), viable=None if dose.viable is None else float(v), viable_sd=0.0, loss_sd=0.0
        )
        for amount, v in zip(amounts, viable, strict=True)
    ]


def _fractions(mean: float, sd: float, what: str, seed: int, subject: int, draws: int) -> np.ndarray:
    """Draws of a fraction from a stream of its own, array of shape (n_draws,)."""
    if sd * sd <= NOTHING * mean * (1 - mean):
        return np.full(draws, mean)
    many = mean * (1 - mean) / sd**2 - 1  # a + b of a beta distribution
    uniform = np.random.default_rng([seed, zlib.crc32(what.encode()), subject]).random(draws)
    return np.asarray(betaincinv(mean * many, (1 - mean) * many, uniform))
