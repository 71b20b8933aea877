"""What the stored references hold: which models, doses and times."""

from __future__ import annotations

import numpy as np

from designs import DESIGNS
from mscpkpd.dosing import bolus, infusion
from mscpkpd.modelfile import load_model
from mscpkpd.units import to_unit

CORE = "two_functional_compartments"
# models with their values, as the designs use them
SHIPPED = list(dict.fromkeys((design.model, design.values) for design in DESIGNS))
# the doses behind the table of known answers; other species take that of the mouse
COUNT = {"mouse": 1e6, "rat": 2e6, "human_70kg": 1.4e8}

CORE_TIMES = {
    "bolus": (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 6, 12, 24, 72, 168),
    "infusion over 1 h": (0.05, 0.25, 0.5, 0.9, 1, 1.02, 1.1, 1.5, 3, 6, 24, 72),
    "8 infusions 84 h apart": (0.5, 24, 83.9, 84, 84.2, 85, 100, 300, 588, 588.5, 589, 600, 672, 720),
    "into a joint": (0.1, 1, 6, 24, 72, 168, 400),
}
SLOPE_TIMES = (0.5, 3, 8, 24, 72)
SLOPES_OF = [(CORE, "mouse"), (CORE, "human_70kg")]


def key(name, values):
    """Name of a model with its values in the files of references."""
    return f"{name}/{values if isinstance(values, str) else ','.join(values or ())}"


def core_schedules(values):
    """Regimens of the core by name; `CORE_TIMES` says when their states are wanted."""
    count = f"{COUNT.get(values, 1e6):g} cells"
    return {
        "bolus": bolus(count, "iv"),
        "infusion over 1 h": infusion(count, "iv", "1 h"),
        "8 infusions 84 h apart": infusion(count, "iv", "1 h", every="84 h", doses=8),
        "into a joint": bolus(count, "intra_articular"),
    }


def schedules(name, values):
    """What is given, when states are wanted, and the body weight, by the name of the schedule."""
    found = {
        f"design {k}": (design.regimen, tuple(design.path_times), design.weight)
        for k, design in enumerate(d for d in DESIGNS if (d.model, d.values) == (name, values))
    }
    found |= _by_every_route(name, values)
    if name == CORE:
        found |= {title: (regimen, CORE_TIMES[title], None) for title, regimen in core_schedules(values).items()}
    return found


def _by_every_route(name, values):
    """A dose by each route, an hour apart, so that every state is filled by some schedule."""
    model, design = load_model(name, values), next(d for d in DESIGNS if (d.model, d.values) == (name, values))
    if len(model.routes) < 2:
        return {}
    size = {dose.unit.removesuffix("/kg"): dose.amount for dose in reversed(design.regimen.doses)}
    doses = [
        bolus(f"{size.get(unit, 1.0):g} {unit}", route, at=f"{k} h")
        for k, route in enumerate(model.route_names)
        for unit in (model.amount_unit(route),)
    ]
    last = max(len(doses) / to_unit(f"1 {model.time}", "h"), max(design.times) / 4)
    return {"every route": (sum(doses[1:], doses[0]), tuple(last * np.geomspace(0.05, 1.0, 8)), design.weight)}


def every_route(values):
    """One regimen that every parameter of the equations acts on."""
    count = f"{COUNT.get(values, 1e6):g} cells"
    return infusion(count, "iv", "1 h") + bolus(count, "ia", at="6 h") + bolus(count, "intra_articular", at="12 h")


def model_of(name, values):
    """A shipped model; what is off by default is switched on, so that its derivative is no special case."""
    model = load_model(name, values)
    return model.fix(w_B=0.1) if "w_B" in model.parameter_names else model
