"""What one design can and cannot tell at the typical values, from one matrix in units of its noise."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from mscpkpd.identifiability.directions import formula, standard_errors
from mscpkpd.identifiability.report import Direction, Group, Pair
from mscpkpd.identifiability.sensitivity import Scale

__all__ = ["Seen"]

PRECISE = 0.5  # largest relative standard error of a parameter that counts as identifiable
ALIKE = 0.95  # a cosine of two effects beyond this makes each error three times that with the other known, or more
SAME = 1e-9  # effects whose cosine is this close to 1 are the same
ONE = 0.99  # effects whose cosine is beyond this are one effect: collinearity index 10
ROUND = 0.12  # how close an exponent of a group that is not exact must be to a whole number or a half
SIMPLE = (Fraction(1), Fraction(2), Fraction(1, 2))  # powers
TEN_PERCENT = 0.1
MIMIC = 0.3  # share of an effect that another parameter must make up to be named
MOST_MIMICS = 3


@dataclass(frozen=True, eq=False)
class Seen:
    """What the rows of a design show of the parameters that they depend on.

    Attributes
    ----------
    scale : Scale
        n parameters.
    matrix : array of shape (n_rows, n)
        Change of each row in units of its noise, per relative change of a parameter.
    exact : tuple of Group
        What no data on these outputs separate.
    """

    scale: Scale
    matrix: np.ndarray
    exact: tuple[Group, ...]

    @cached_property
    def length(self) -> np.ndarray:
        """Effect of each parameter on all observations together, SD per relative change, shape (n,)."""
        return np.asarray(np.linalg.norm(self.matrix, axis=0))

    @cached_property
    def alone(self) -> np.ndarray:
        """Relative standard errors with all other parameters known, shape (n,)."""
        with np.errstate(divide="ignore"):
            return np.asarray(1.0 / self.length)

    @cached_property
    def errors(self) -> np.ndarray:
        """Relative standard errors with all other parameters unknown and without priors, shape (n,)."""
        return standard_errors(self.matrix)

    @cached_property
    def errors_with_prior(self) -> np.ndarray:
        """Relative standard errors with the priors, shape (n,)."""
        return standard_errors(self.matrix, self.scale.prior_sd)

    @cached_property
    def alignment(self) -> np.ndarray:
        """Cosines between the effects of parameters on the observations, shape (n, n); 0 where there is no effect."""
        unit = self.matrix / np.where(self.length > 0, self.length, 1.0)
        return np.asarray(np.clip(unit.T @ unit, -1.0, 1.0))

    @cached_property
    def identifiable(self) -> tuple[str, ...]:
        """Parameters that the observations tell with all others unknown."""
        return tuple(name for name, error in zip(self.scale.names, self.errors, strict=True) if error <= PRECISE)

    @cached_property
    def recoverable(self) -> tuple[str, ...]:
        """Parameters that can be estimated together with the others held.

        The worst is left out until all are precise; of several that are about equally bad, the one of which the data
        say least compared with its prior.
        """
        worth = np.where(np.isfinite(self.scale.prior_sd), self.scale.prior_sd, 0.0) * self.length
        kept = [k for k in range(len(self.scale.names)) if self.length[k] > 0]
        while kept:
            errors = standard_errors(self.matrix[:, kept])
            if np.max(errors) <= PRECISE:
                break
            bad = [k for k, error in zip(kept, errors, strict=True) if error >= np.max(errors) / 2]
            kept.remove(min(bad, key=lambda k: (worth[k], self.length[k], -k)))
        return tuple(self.scale.names[k] for k in kept)

    @cached_property
    def _same(self) -> np.ndarray:
        """Which pairs have the same effect whatever is done, shape (n, n)."""
        names = self.scale.names
        together = np.array(
            [[any({a, b} <= set(group.names) for group in self.exact) for b in names] for a in names], dtype=bool
        ).reshape(len(names), len(names))
        return np.asarray(together & (1.0 - np.abs(self.alignment) < SAME))

    @cached_property
    def _inseparable(self) -> np.ndarray:
        """Which pairs the design sees but cannot separate, shape (n, n)."""
        apart = np.sqrt(np.maximum(1.0 - self.alignment**2, 1e-300))
        worse = np.maximum(self.alone[:, None], self.alone[None, :])
        unclear = (worse <= PRECISE) & (np.abs(self.alignment) >= ALIKE) & (worse / apart > PRECISE)
        pairs = unclear | self._same
        np.fill_diagonal(pairs, val=False)
        return np.asarray(pairs)

    def pairs(self) -> tuple[Pair, ...]:
        """Pairs that the design cannot separate, the most alike first."""
        names = self.scale.names
        found = [
            Pair(names[i], names[j], float(self.alignment[i, j]), bool(self._same[i, j]))
            for i, j in np.argwhere(np.triu(self._inseparable))
        ]
        return tuple(sorted(found, key=lambda pair: -abs(pair.alignment)))

    def groups(self) -> tuple[Group, ...]:
        """Sets of parameters that act as one product of simple powers and are not an exact group already."""
        known = [set(group.names) for group in self.exact]
        found = [[self.scale.names[k] for k in members] for members in self._clusters()]
        return tuple(self._group(names) for names in found if not any(set(names) <= other for other in known))

    def _clusters(self) -> list[list[int]]:
        left = list(range(len(self.scale.names)))
        found = []
        while left:
            members = [left.pop(0)]
            for k in list(left):
                if all(self._one(k, other) for other in members):
                    members.append(k)
                    left.remove(k)
            if len(members) > 1:
                found.append(members)
        return found

    def _one(self, i: int, j: int) -> bool:
        alike = self._inseparable[i, j] and abs(self.alignment[i, j]) >= ONE
        return bool(alike) and _exponent(self.length[i] / self.length[j]) is not None

    def _group(self, names: list[str]) -> Group:
        index = [self.scale.names.index(name) for name in names]
        ratios = [np.sign(self.alignment[index[0], k]) * self.length[k] / self.length[index[0]] for k in index]
        exponents = [_exponent(float(ratio)) or Fraction(1) for ratio in ratios]
        directions, shifts = [], []
        for k, name, exponent in zip(index[1:], names[1:], exponents[1:], strict=True):
            step = -1.0 / float(exponent)
            directions.append(Direction((names[0], name), (1.0, step)))
            shifts.append(float(np.linalg.norm(self.matrix[:, index[0]] + step * self.matrix[:, k])))
        return Group(
            tuple(names), (formula(names, exponents),), False, tuple(directions), 1,
            TEN_PERCENT * max(shifts), TEN_PERCENT * float(self.length[index[0]]),
        )  # fmt: skip

    def mimics(self, name: str) -> tuple[str, ...]:
        """Recoverable parameters whose effects together look like that of another parameter, the largest first."""
        target = self.matrix[:, self.scale.names.index(name)]
        others = [self.scale.names.index(other) for other in self.recoverable]
        weights = np.linalg.lstsq(self.matrix[:, others], target, rcond=None)[0]
        shares = np.abs(weights) * self.length[others] / np.linalg.norm(target)
        order = [k for k in np.argsort(-shares) if shares[k] >= MIMIC]
        return tuple(self.recoverable[k] for k in order[:MOST_MIMICS])


def _exponent(ratio: float) -> Fraction | None:
    """The simple power that a ratio of effects stands for; None where none is near."""
    near = next((x for x in SIMPLE if abs(float(x) - abs(ratio)) <= ROUND * float(x)), None)
    return near if near is None or ratio > 0 else -near
