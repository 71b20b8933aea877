"""What a design can tell, as a frozen report that reads as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mscpkpd.rounding import decimals, number

__all__ = ["Direction", "Group", "Identifiability", "Pair"]

SHOWN_PAIRS = 12
ERRORS = ("alone", "without_prior", "prior", "with_prior")  # columns of relative standard errors


@dataclass(frozen=True)
class Direction:
    """A change of several parameters at once that the observations do not show.

    Attributes
    ----------
    names : tuple of str
    steps : tuple of float
        Relative step of each; the first is 1.
    """

    names: tuple[str, ...]
    steps: tuple[float, ...]

    def __str__(self) -> str:
        parts, before = [], ""
        for name, step in zip(self.names, self.steps, strict=True):
            way = "raising" if step > 0 else "lowering"
            parts.append(f"{'' if way == before else way + ' '}{name} by {number(abs(step), 2)} %")
            before = way
        return _listed(parts)


@dataclass(frozen=True)
class Group:
    """Parameters that enter the observations only together.

    Attributes
    ----------
    names : tuple of str
        In the order of the model.
    formulas : tuple of str
        What can be learned of them at best, such as "q0/(V_loc k_Ploc EC50_P)"; empty where no simple formula fits.
    exact : bool
        Whether no data on these outputs can separate them, at any time and with any precision; otherwise it is this
        design that cannot.
    directions : tuple of Direction
        Changes that leave the observations as they are (exact) or nearly so.
    points : int
        At how many of the parameter points that were tried; 1 for what only this design cannot tell.
    shift : float
        SDs of the observations, over all of them, that the worst of the directions moves them by when its steps are
        10 percent; 0 where exact.
    alone : float
        The same for a step of its first parameter alone [SD units].
    """

    names: tuple[str, ...]
    formulas: tuple[str, ...]
    exact: bool
    directions: tuple[Direction, ...]
    points: int
    shift: float = 0.0
    alone: float = 0.0

    def sentences(self, tried: int) -> Iterator[str]:
        """What it means, in words; `tried` is the number of parameter points."""
        verb = "enter" if self.exact else "act nearly"
        if len(self.formulas) == 1:
            yield f"{_listed(self.names)} {verb} only as one group: {self.formulas[0]}"
        elif self.formulas:
            yield f"{_listed(self.names)} {verb} only through {_listed(self.formulas)}"
        else:
            left = len(self.names) - len(self.directions)
            combinations = "one combination" if left == 1 else f"{left} combinations"
            yield f"{_listed(self.names)} show only {combinations}, which no simple formula gives"
        nothing = "nothing" if self.exact else "next to nothing"
        if self.formulas:
            yield from (f"  {direction} changes {nothing}" for direction in self.directions)
        elif len(self.directions) == 1:
            yield f"  near these values, {self.directions[0]} changes {nothing}"
        if self.exact:
            yield f"  (at {self.points} of {tried} parameter points)"
        else:
            yield (
                f"  (steps of 10 % move all observations together by at most {number(self.shift, 2)} SD, "
                f"{self.names[0]} alone by {number(self.alone, 2)} SD)"
            )


@dataclass(frozen=True)
class Pair:
    """Two parameters that the design cannot separate although it sees each of them.

    Attributes
    ----------
    first, second : str
    alignment : float
        Cosine between their effects on the observations, dimensionless: 1 the same effect, -1 the opposite one.
    exact : bool
        Whether no design with these outputs can.
    """

    first: str
    second: str
    alignment: float
    exact: bool

    @property
    def collinearity(self) -> float:
        """Collinearity index of Brun 2001, dimensionless: 1 for unlike effects, infinite for like ones."""
        rest = 1.0 - abs(self.alignment)
        return float("inf") if self.exact or rest < 1e-12 else float(1.0 / np.sqrt(rest))

    def __str__(self) -> str:
        how = "exactly" if self.exact else f"collinearity index {number(self.collinearity, 2)}"
        return f"{self.first} and {self.second}: {'opposite' if self.alignment < 0 else 'the same'} effect ({how})"


@dataclass(frozen=True, eq=False)
class Identifiability:
    """What a design can tell about the parameters of a model, near their values.

    Attributes
    ----------
    model : str
        Name of the model, with its values.
    design : str
        What was given and observed.
    names : tuple of str
        Parameters asked about.
    rank : int
        Number of independent combinations that the observations of the design show at all.
    structural_rank : int
        The same if the outputs were observed at all times, without error.
    by_chance : int
        How many of these vanish at the typical values only, such as the difference of two rates that are equal there;
        other values of the model would show them.
    singular_values : array of shape (n,)
        Of the sensitivity matrix of the design [SD of an observation, per relative change], columns scaled to length 1.
    groups : tuple of Group
        Parameters that enter only together; exact ones first.
    pairs : tuple of Pair
        Pairs that this design cannot separate, the most alike first.
    identifiable : tuple of str
        Parameters that the observations alone tell, all others being unknown: relative standard error of 0.5 at most.
    recoverable : tuple of str
        Parameters that can be estimated together by least squares, the others held at their values. Of an exact group
        at most as many as it has formulas.
    without_influence : tuple of str
        Parameters that no observed output depends on.
    table : DataFrame
        One row per parameter: value, influence (SDs by which 10 percent more moves all observations together),
        relative standard errors with all others known (`alone`), with all others unknown (`without_prior`), of the
        prior (`prior`), with the prior (`with_prior`), the share of the prior variance that the data remove
        (`learned`), and `verdict` in words.
    alignment : DataFrame
        Cosines between the effects of parameters on the observations, dimensionless.
    observations : int
        Number of observations.
    points : int
        Parameter points that were tried.
    """

    model: str
    design: str
    names: tuple[str, ...]
    rank: int
    structural_rank: int
    by_chance: int
    singular_values: np.ndarray
    groups: tuple[Group, ...]
    pairs: tuple[Pair, ...]
    identifiable: tuple[str, ...]
    recoverable: tuple[str, ...]
    without_influence: tuple[str, ...]
    table: pd.DataFrame
    alignment: pd.DataFrame
    observations: int
    points: int

    @property
    def null_directions(self) -> tuple[Direction, ...]:
        """Changes of parameters that no data on these outputs show."""
        return tuple(direction for group in self.groups if group.exact for direction in group.directions)

    def __repr__(self) -> str:
        return (
            f"Identifiability({self.model}: {len(self.identifiable)} of {len(self.names)} parameters identifiable, "
            f"rank {self.rank})"
        )

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"What can be learned about {self.model}, near its values"
        yield f"from {self.design}"
        yield ""
        moving = len(self.names) - len(self.without_influence)
        yield (
            f"The outputs depend on {moving} of {len(self.names)} parameters. {self.observations} observations show "
            f"{self.rank} independent combinations of them; at all times and without error it would be "
            f"{self.structural_rank}."
        )
        if self.by_chance:
            yield (
                f"Of these, {self.by_chance} cannot be seen at exactly these values, by chance, such as that two rates "
                "are equal; at others they can."
            )
        yield f"Identifiable from the data alone: {_names(self.identifiable)}"
        held = tuple(name for name in self.recoverable if name not in self.identifiable)
        yield f"Besides, if all others are held at their values: {_names(held)}"
        exact = [group for group in self.groups if group.exact]
        if exact:
            yield "\nNo data on these outputs can separate"
            yield from (f"  {line}" for group in exact for line in group.sentences(self.points))
        near = [group for group in self.groups if not group.exact]
        if near:
            yield "\nThis design cannot separate"
            yield from (f"  {line}" for group in near for line in group.sentences(self.points))
        yield from self._pair_lines()
        if self.without_influence:
            yield f"\nWithout influence on these outputs: {', '.join(self.without_influence)}"
        yield "\nExpected standard errors, relative to the value"
        yield from self._table_lines()

    def _pair_lines(self) -> Iterator[str]:
        together = [set(group.names) for group in self.groups]
        told = [pair for pair in self.pairs if not any({pair.first, pair.second} <= names for names in together)]
        if told:
            yield "\nPairs that this design cannot separate"
            yield from (f"  {pair}" for pair in told[:SHOWN_PAIRS])
            if len(told) > SHOWN_PAIRS:
                yield f"  and {len(told) - SHOWN_PAIRS} more in .pairs"

    def _table_lines(self) -> Iterator[str]:
        head = ("parameter", "alone", "no prior", "prior", "with prior", "learned", "")
        rows: list[tuple[str, ...]] = [head]
        for name, row in self.table[self.table["influence"] > 0].iterrows():
            errors = (percent(row[column]) for column in ERRORS)
            rows.append((str(name), *errors, decimals(row["learned"]), row["verdict"]))
        widths = [max(len(row[k]) for row in rows) for k in range(len(head))]
        for cells in rows:
            numbers = [cell.rjust(width) for cell, width in zip(cells[1:-1], widths[1:-1], strict=True)]
            yield "  ".join(["", cells[0].ljust(widths[0]), *numbers, cells[-1]]).rstrip()


def percent(x: float) -> str:
    """Write a relative standard error; a dash where there is none."""
    return "–" if not np.isfinite(x) else f"{number(100 * x, 2)} %"


def _names(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "none"


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
