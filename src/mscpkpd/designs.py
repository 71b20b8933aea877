"""A design: what is given, what is observed and when, before any value has been measured."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mscpkpd.data import Record, Study, Subject
from mscpkpd.dosing import Regimen
from mscpkpd.errors import UnknownName, UsageError
from mscpkpd.model import Model
from mscpkpd.units import to_unit

__all__ = ["Design"]

PLACE = 1.0  # a study needs values, a design has none: nothing that asks a design looks at them


@dataclass(frozen=True)
class Design:
    """What is given, what is observed, and when.

    Attributes
    ----------
    regimen : Regimen or tuple of Regimen
        What is given; several regimens are the arms of one study. An empty regimen is an untreated arm.
    outputs : tuple of str
        Outputs of the model that are observed in every arm.
    times : tuple of float
        When, in the time unit of the model.
    weight : float or str, optional
        Body weight, such as "70 kg" or a number [kg]; needed for doses per body weight only.
    subjects : int
        Subjects per arm, each observed at all times.

    Raises
    ------
    UsageError
        If there is no arm, no output or no time, a time is not a finite number, or there is no subject.

    Notes
    -----
    Convention of this package. The precision of an observation is that of the noise model of its output.

    Examples
    --------
    >>> from mscpkpd.dosing import bolus
    >>> Design(bolus("1e6 cells", "iv"), ("il10",), (2, 6, 24)).times
    (2.0, 6.0, 24.0)
    """

    regimen: Regimen | tuple[Regimen, ...]
    outputs: tuple[str, ...]
    times: tuple[float, ...]
    weight: float | str | None = None
    subjects: int = 1

    def __post_init__(self) -> None:
        outputs = (self.outputs,) if isinstance(self.outputs, str) else tuple(self.outputs)
        object.__setattr__(self, "outputs", outputs)
        object.__setattr__(self, "times", tuple(float(time) for time in self.times))
        if isinstance(self.weight, str):
            object.__setattr__(self, "weight", to_unit(self.weight, "kg", where="weight"))
        if not isinstance(self.regimen, Regimen):
            object.__setattr__(self, "regimen", tuple(self.regimen))
        if not (self.arms and self.outputs and self.times):
            raise UsageError(
                f"a design with {len(self.arms)} arms, {len(self.outputs)} outputs and {len(self.times)} times",
                expected="at least one of each",
                hint="Design(bolus('1e6 cells', 'iv'), outputs=('il10',), times=(2, 6, 24))",
            )
        if not all(math.isfinite(time) for time in self.times) or self.subjects < 1:
            raise UsageError(
                f"times {self.times} with {self.subjects} subjects", expected="finite times and at least one subject"
            )

    @property
    def kilograms(self) -> float | None:
        """Body weight [kg]."""
        return None if self.weight is None else float(self.weight)

    @property
    def arms(self) -> tuple[Regimen, ...]:
        """Regimens of the arms."""
        return (self.regimen,) if isinstance(self.regimen, Regimen) else self.regimen

    def study(self, model: Model) -> Study:
        """Return the design as a study whose values stand for nothing.

        Parameters
        ----------
        model : Model
            Gives the units of outputs and time.

        Raises
        ------
        UnknownName
            For an output that the model does not have.
        """
        for name in self.outputs:
            if name not in model.output_names:
                raise UnknownName.among("output", name, model.output_names, where="design")
        ids = [f"arm {k}" for k in range(1, len(self.arms) + 1)]
        hours = to_unit(f"1 {model.time}", "h")
        records = tuple(
            Record(
                0, arm, time * hours, "h", name, "mean", PLACE, None, None, None, self.subjects,
                model.output(name).unit, where=f"design, {arm}",
            )
            for arm in ids for name in self.outputs for time in self.times
        )  # fmt: skip
        subjects = tuple(Subject(arm, doses, self.kilograms) for arm, doses in zip(ids, self.arms, strict=True))
        return Study("design", subjects, records, source="design")

    def __str__(self) -> str:
        count = len(self.arms) * len(self.outputs) * len(self.times)
        arms = "1 arm" if len(self.arms) == 1 else f"{len(self.arms)} arms"
        times = ", ".join(f"{time:g}" for time in self.times)
        return f"design: {arms}, {count} observations of {', '.join(self.outputs)} at {times}"
