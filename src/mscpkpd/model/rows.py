"""The rows of a model: states, routes, derived quantities, outputs and variability."""

from __future__ import annotations

from dataclasses import dataclass

from mscpkpd.detection import Detection
from mscpkpd.expressions import Expression
from mscpkpd.noise import Noise
from mscpkpd.parameters import Prior

__all__ = [
    "BLQ_METHODS",
    "FORMS",
    "LEVELS",
    "SHAPES",
    "VIABLE",
    "Covariance",
    "Derived",
    "Output",
    "Route",
    "State",
    "Variability",
]

# within `into` of a route: the viable fraction of the dose (E11, T1)
VIABLE = "viable"
# quantities that may have a noise of their own (Q1)
WITH_NOISE = ("half_life", "ratio", "fold_change", "difference", "peak", "peak_time", "recovery")
# random levels: P3, P8
LEVELS = ("subject", "occasion", "lot", "donor", "site", "study", "species")
# how a random effect acts (P2), and how the effects of one level vary together (P7)
SHAPES = ("lognormal", "logitnormal", "normal", "boxcox")
FORMS = ("full", "diagonal")
# what a value below the limit of quantification counts for (B3 to B10)
BLQ_METHODS = ("M1", "M2", "M3", "M4", "M5", "M6", "M7")


@dataclass(frozen=True)
class State:
    """An amount that changes in time.

    Attributes
    ----------
    name, unit, about : str
        Name in formulas, unit, meaning.
    start : Expression or None
        Value at time 0 and after a reset (E32); 0 where None.
    """

    name: str
    unit: str
    about: str = ""
    start: Expression | None = None


@dataclass(frozen=True)
class Route:
    """What one unit of dose becomes.

    Attributes
    ----------
    name : str
        Name of the route (T3).
    into : tuple of (str, Expression)
        State and the fraction of the dose that it receives. The name ``viable`` stands for the viable fraction of the
        dose: VIAB of its row where given, else the parameter `viable`, else 1.
    viable : str or None
        Parameter that holds the viable fraction.
    lag, duration, rate : Expression or None
        Delay, modelled duration and modelled rate (E7, E8, E15).
    about : str
        Meaning.
    """

    name: str
    into: tuple[tuple[str, Expression], ...]
    viable: str | None = None
    lag: Expression | None = None
    duration: Expression | None = None
    rate: Expression | None = None
    about: str = ""


@dataclass(frozen=True)
class Derived:
    """A named quantity that follows from states, parameters, time and other derived quantities."""

    name: str
    unit: str
    expression: Expression
    about: str = ""


@dataclass(frozen=True)
class Output:
    """What can be observed.

    Attributes
    ----------
    name : str
        Name in data; the name of a state only where the output is that state.
    expression : Expression
        Formula in states, derived quantities, parameters and time.
    unit : str
        Unit of predictions and data.
    noise : Noise or None
        Residual error; an output without it can be simulated but not fitted.
    about, organ, method : str
        Meaning; organ and assay of the data that it predicts.
    detection : Detection or None
        How likely an assay of it is positive (Q4).
    quantities : tuple of (str, Noise)
        Noise of what else may be observed of it, such as ``("half_life", lognormal(0.3))`` (Q1).
    bias : tuple of (str, str)
        Method and the parameter that its values are too large by, a factor (Q6).
    of, quantity : str
        Of an output that was made for rows that observe something else of another one: that other one, and what.
    blq : str
        What a value below the limit of quantification counts for in a fit: one of `BLQ_METHODS`, see `blq` (B3).
    """

    name: str
    expression: Expression
    unit: str
    noise: Noise | None = None
    about: str = ""
    organ: str = ""
    method: str = ""
    blq: str = "M3"
    detection: Detection | None = None
    quantities: tuple[tuple[str, Noise], ...] = ()
    bias: tuple[tuple[str, str], ...] = ()
    of: str = ""
    quantity: str = ""

    @property
    def measurement_parameters(self) -> tuple[str, ...]:
        """Names of the parameters that say how it is measured: of its noises and of its detection."""
        noises = [self.noise] if self.noise else []
        used = [name for noise in (*noises, *(noise for _, noise in self.quantities)) for name in noise.parameters]
        return tuple(dict.fromkeys((*used, *(self.detection.parameters if self.detection else ()))))


@dataclass(frozen=True)
class Variability:
    """Spread of a parameter over a random level.

    Attributes
    ----------
    parameter : str
        Name of the parameter.
    level : str
        One of `LEVELS`.
    sd : float
        SD on the parameter's own transformed scale (P2).
    source, evidence : str
        Where the number comes from, and how well it is known.
    shape : str
        How the effect acts: one of `SHAPES`, with its arguments; blank for the scale of the parameter's prior.
    prior : Prior or None
        Prior of the SD; None for one that a fit chooses and names.
    """

    parameter: str
    level: str
    sd: float
    source: str = ""
    evidence: str = "assumed"
    shape: str = ""
    prior: Prior | None = None


@dataclass(frozen=True)
class Covariance:
    """How the random effects of one level vary together.

    Attributes
    ----------
    level : str
        One of `LEVELS`.
    form : str
        One of `FORMS`.
    lkj : float
        Shape of the prior of the correlations (LKJ): 1 is flat, more prefers small ones.
    correlations : tuple of (str, str, float)
        Two parameters and their correlation, for simulations and as the start of fits; 0 where not stated.
    """

    level: str
    form: str = "full"
    lkj: float = 2.0
    correlations: tuple[tuple[str, str, float], ...] = ()
