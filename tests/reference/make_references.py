"""Write the stored references: ``python tests/reference/make_references.py`` (about ten minutes).

``states.json`` holds the states of every shipped model by SciPy's Radau at a relative tolerance of 1e-11, and
``slopes.json`` their derivatives by every parameter from the variational equations, solved in the same way. Both come
from `solver`, which shares nothing with the engine but the text of the formulas. Run it after a model has changed;
the tests notice by the digest of its equations and numbers. What has the digest of the file is kept; ``--all`` makes
everything anew.
"""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path

import numpy as np
import scipy

sys.path.insert(0, str(Path(__file__).parents[1]))

from mscpkpd.modelfile import load_model
from reference import solver
from reference.cases import SHIPPED, SLOPE_TIMES, SLOPES_OF, every_route, key, model_of, schedules

HERE = Path(__file__).parent
MADE_WITH = {
    "script": "tests/reference/make_references.py",
    "method": "scipy.integrate.solve_ivp, Radau, rtol 1e-11",
    "python": platform.python_version(),
    "scipy": scipy.__version__,
    "numpy": np.__version__,
}


def states(name, values):
    """States of a model after each schedule: schedule -> state -> numbers over its times."""
    model = load_model(name, values)
    found = {
        schedule: _by_state(model, solver.solve(model, regimen, times, weight=weight, breaks=solver.breaks(model)))
        for schedule, (regimen, times, weight) in schedules(name, values).items()
    }
    return {"digest": solver.digest(model), "schedules": found}


def slopes(name, values, parameters=None):
    """Derivatives of the states: parameter -> state -> numbers over `SLOPE_TIMES`."""
    model = model_of(name, values)
    found = {
        parameter: _by_state(model, solver.solve(model, every_route(values), SLOPE_TIMES, by=parameter)[1])
        for parameter in parameters or model.parameter_names
    }
    return {"digest": solver.digest(model), "slopes": found}


def _by_state(model, numbers):
    return {
        name: [float(f"{x:.12g}") for x in row]
        for name, row in zip(model.state_names, numbers, strict=True)
        if np.any(row != 0)
    }


def write(file, cases):
    """Write one file of references; one line a state keeps it readable."""
    text = json.dumps({"made with": MADE_WITH, "cases": cases}, indent=1)
    lines = text.replace("[\n", "[").replace(",\n      ", ", ")
    (HERE / file).write_text(lines + "\n")


def stored(file):
    """What the file holds now."""
    path = HERE / file
    return {} if "--all" in sys.argv or not path.exists() else json.loads(path.read_text())["cases"]


def fresh(old, made, name, values):
    """The stored case where it belongs to the model as it is, else a new one."""
    case = old.get(key(name, values))
    model = model_of(name, values) if made is slopes else load_model(name, values)
    asked = set(schedules(name, values)) if made is states else None
    if case and case["digest"] == solver.digest(model) and asked in (None, set(case.get("schedules", ()))):
        return case
    sys.stdout.write(f"{made.__name__} of {key(name, values)} ...\n")
    return made(name, values)


if __name__ == "__main__":
    for made, file, cases in ((states, "states.json", SHIPPED), (slopes, "slopes.json", SLOPES_OF)):
        old = stored(file)
        kept = {}
        for case in cases:
            kept[key(*case)] = fresh(old, made, *case)
            write(file, {**old, **kept})
        write(file, kept)
