"""What the stored references hold: which models, doses and times."""

from __future__ import annotations

from mscpkpd.dosing import bolus, infusion
from mscpkpd.modelfile import load_model, models, values_of

SHIPPED = [(name, values) for name in models() for values in values_of(name) or (None,)]
# the doses behind the table of known answers; other species take that of the mouse
COUNT = {"mouse": 1e6, "rat": 2e6, "human_70kg": 1.4e8}

TIMES = {
    "bolus": (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 6, 12, 24, 72, 168),
    "infusion over 1 h": (0.05, 0.25, 0.5, 0.9, 1, 1.02, 1.1, 1.5, 3, 6, 24, 72),
    "8 infusions 84 h apart": (0.5, 24, 83.9, 84, 84.2, 85, 100, 300, 588, 588.5, 589, 600, 672, 720),
    "into a joint": (0.1, 1, 6, 24, 72, 168, 400),
}
SLOPE_TIMES = (0.5, 3, 8, 24, 72)
SLOPES_OF = [("two_functional_compartments", "mouse"), ("two_functional_compartments", "human_70kg")]


def key(name, values):
    """Name of a model with its values in the files of references."""
    return f"{name}/{values or ''}"


def schedules(values):
    """Regimens by name; `TIMES` says when their states are wanted."""
    count = f"{COUNT.get(values, 1e6):g} cells"
    return {
        "bolus": bolus(count, "iv"),
        "infusion over 1 h": infusion(count, "iv", "1 h"),
        "8 infusions 84 h apart": infusion(count, "iv", "1 h", every="84 h", doses=8),
        "into a joint": bolus(count, "intra_articular"),
    }


def every_route(values):
    """One regimen that every parameter of the equations acts on."""
    count = f"{COUNT.get(values, 1e6):g} cells"
    return infusion(count, "iv", "1 h") + bolus(count, "ia", at="6 h") + bolus(count, "intra_articular", at="12 h")


def model_of(name, values):
    """A shipped model; what is off by default is switched on, so that its derivative is no special case."""
    model = load_model(name, values)
    return model.fix(w_B=0.1) if "w_B" in model.parameter_names else model
