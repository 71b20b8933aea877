"""States and arrows of a model, as a picture shows them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Entry", "Flow", "Influence", "Structure", "Term"]


@dataclass(frozen=True)
class Term:
    """A rate as it is written at an arrow.

    Attributes
    ----------
    factor : str
        Rate constant or formula in the language of model files, or the derived quantity that is the whole rate; blank
        where it is too long to be read.
    names : tuple of str
        What else the rate depends on, where that is too long to be written: states, else parameters.
    """

    factor: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Flow:
    """Something that leaves `source` and enters `target`; an empty name stands for the outside.

    Attributes
    ----------
    source, target : str
        States.
    terms : tuple of Term
        Rates per unit of the source, or whole rates where the source is outside.
    off : bool
        Zero with the numbers of the model: a mechanism that is switched off.
    """

    source: str
    target: str
    terms: tuple[Term, ...]
    off: bool = False


@dataclass(frozen=True)
class Influence:
    """A state on which the rate of another depends without anything flowing between them.

    Attributes
    ----------
    source, target : str
        States.
    sign : int
        1 where more of the source raises the rate of the target, -1 where it lowers it, 0 where it may do either.
    off : bool
        Zero with the numbers of the model: a mechanism that is switched off.
    """

    source: str
    target: str
    sign: int
    off: bool = False


@dataclass(frozen=True)
class Entry:
    """Doses that enter a state.

    Attributes
    ----------
    state : str
        Receiving state.
    routes : tuple of str
        Routes by which it receives.
    dead_only : bool
        Whether it receives nothing of a fully viable dose.
    """

    state: str
    routes: tuple[str, ...]
    dead_only: bool = False


@dataclass(frozen=True)
class Structure:
    """States and arrows of a model.

    Attributes
    ----------
    states : tuple of str
        In the order of the model file.
    flows, influences, entries : tuple
        Arrows.
    """

    states: tuple[str, ...]
    flows: tuple[Flow, ...]
    influences: tuple[Influence, ...]
    entries: tuple[Entry, ...]
