"""Models of a few lines, built without a file, for tests that need one equation and not a library."""

from __future__ import annotations

import pandas as pd

from mscpkpd.data import study_from_frame
from mscpkpd.dosing import Dose, Regimen
from mscpkpd.expressions import parse
from mscpkpd.model import Model, Output, Route, State, Variability, check
from mscpkpd.noise import Noise
from mscpkpd.parameters import FIXED, Parameter, Prior


def parameter(name, value, unit="1", prior=None, **more):
    """A parameter whose prior, unless given, is centred on its value and wide enough to move."""
    made = prior and Prior.parse(prior)
    return Parameter(name, value, unit, made or FIXED, **{"about": name, "source": "test", **more})


def route(name, into, *, viable=None, lag=None, duration=None, rate=None):
    """A route; the formulas are texts."""
    formulas = (parse(text) if text is not None else None for text in (lag, duration, rate))
    return Route(name, tuple((state, parse(text)) for state, text in into.items()), viable, *formulas)


def model(rates, parameters, *, routes=(), outputs=None, units=None, starts=None, time="h", conserved=(), spread=()):
    """A checked model.

    `rates` maps states to formulas; `outputs` maps outputs to (formula, unit, noise); a state has the unit of `units`,
    by default mg.
    """
    units, starts = units or {}, starts or {}
    states = tuple(
        State(name, units.get(name, "mg"), name, parse(starts[name]) if name in starts else None) for name in rates
    )
    rows = tuple(
        Output(name, parse(formula), unit, Noise.parse(noise) if noise else None, name)
        for name, (formula, unit, noise) in (outputs or {}).items()
    )
    made = Model(
        name="small",
        title="For a test",
        time=time,
        parameters=tuple(parameters),
        states=states,
        routes=tuple(routes),
        rates=tuple((name, parse(formula)) for name, formula in rates.items()),
        outputs=rows,
        variability=tuple(Variability(name, level, sd) for name, level, sd in spread),
        conserved=tuple(conserved),
    )
    check(made)
    return made


def one_compartment(*routes, noise="lognormal(s)", k="lognormal(0.1, 0.5)", **more):
    """CL 5, V 50 and a concentration: the compartment of the closed forms in section 14.1 of the conventions."""
    return model(
        {"central": "-k*central"},
        (
            parameter("k", 0.1, "1/h", k),
            parameter("V", 50.0, "L", "lognormal(50, 0.3)"),
            parameter("s", 0.1, "mg/L" if noise.startswith("additive") else "1", "lognormal(0.1, 1)"),
            *more.pop("parameters", ()),
        ),
        routes=routes or (route("iv", {"central": "1"}),),
        outputs={"conc": ("central/V", "mg/L", noise)},
        **more,
    )


def study(*rows, name="toy", **common):
    """A study from rows of a tidy table; `common` fills the columns that all rows share. Rows may repeat a time."""
    shared = {"subject": "S1", "dose": "100 mg", "route": "iv", **common}
    frame = pd.DataFrame([{**shared, "replicate": str(k), **row} for k, row in enumerate(rows, 1)])
    return study_from_frame(frame, name=name, time_unit="h")


# every kind of route, for the closed forms of section 14.1
COMPARTMENT = one_compartment(
    route("iv", {"central": "1"}),
    route("half", {"central": "F"}),
    route("half_rate", {"central": "F"}, rate="R"),
    route("half_duration", {"central": "F"}, duration="D"),
    route("viable", {"central": "viable"}, viable="v"),
    route("viable_rate", {"central": "viable"}, viable="v", rate="R"),
    route("lagged", {"central": "1"}, lag="L"),
    parameters=(
        parameter("F", 0.5),
        parameter("v", 0.8),
        parameter("R", 50.0, "mg/h"),
        parameter("D", 2.0, "h"),
        parameter("L", 3.0, "h"),
    ),
)


def doses(*rows):
    """A regimen from (time, amount, route) and, optionally, duration and viable fraction."""
    return Regimen(tuple(Dose(time, amount, "mg", name, *more) for time, amount, name, *more in rows))
