"""The same model in other units: days for hours, millions of cells for cells, ng for pg and so on up.

Every unit of the model is rewritten, every number is converted, no formula changes but for the units inside `to`. A
model whose formulas hide a number with a unit gives other answers then.
"""

from __future__ import annotations

import re
from dataclasses import replace

from mscpkpd.dosing import Regimen
from mscpkpd.expressions import parse
from mscpkpd.units import scale_factor

OTHER = {
    "h": "d", "d": "h",
    "cells": "Mcell", "cell": "Mcell",
    "pg": "ng", "ng": "ug", "ug": "mg", "mg": "g",
}  # fmt: skip


def other_unit(unit):
    """A unit text with each of its words replaced."""
    return re.sub(r"[A-Za-z_]+", lambda word: OTHER.get(word[0], word[0]), unit)


def rescaled(model):
    """The model in the other units."""

    def formula(expression):
        if expression is None:
            return None
        return parse(re.sub(r'"([^"]*)"', lambda unit: f'"{other_unit(unit[1])}"', str(expression)))

    def row(old, **changes):
        return replace(old, unit=other_unit(old.unit), **changes)

    return replace(
        model,
        time=other_unit(model.time),
        parameters=tuple(
            row(p, value=p.value * scale_factor(p.unit, other_unit(p.unit)), prior=FIXED, low=None, high=None,
                prior_source=(), prior_without=None)
            for p in model.parameters
        ),
        states=tuple(row(state, start=formula(state.start)) for state in model.states),
        rates=tuple((name, formula(rate)) for name, rate in model.rates),
        derived=tuple(row(d, expression=formula(d.expression)) for d in model.derived),
        outputs=tuple(row(o, expression=formula(o.expression)) for o in model.outputs),
        routes=tuple(
            replace(
                route,
                into=tuple((state, formula(share)) for state, share in route.into),
                lag=formula(route.lag), duration=formula(route.duration), rate=formula(route.rate),
            )
            for route in model.routes
        ),
    )  # fmt: skip


def rescaled_doses(regimen):
    """The same doses, their amounts in the other units."""

    def dose(old):
        unit = other_unit(old.unit)
        return replace(old, amount=old.amount * scale_factor(old.unit, unit), unit=unit)

    return Regimen(tuple(dose(old) for old in regimen.doses))


def _fixed():
    from mscpkpd.parameters import Prior

    return Prior.parse("fixed", "rescaling")


FIXED = _fixed()
