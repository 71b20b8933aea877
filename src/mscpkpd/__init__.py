"""PK-PD modelling of mesenchymal stromal cell (MSC) therapies.

Fit preclinical data, simulate dosing schedules, score the probability of response from CXCL10. Public names load
their modules at first use, so that ``import mscpkpd`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what type checkers and editors see; at run time __getattr__ imports a name when it is used
    from mscpkpd import errors, plots, report
    from mscpkpd.calibration import calibrate
    from mscpkpd.cohort import read_cohort
    from mscpkpd.data import Study, read_study
    from mscpkpd.designs import Design
    from mscpkpd.diagnostics import compare
    from mscpkpd.dosing import Regimen, bolus, infusion
    from mscpkpd.exchange.petab_problem import load_petab
    from mscpkpd.exposures import exposure
    from mscpkpd.fitting.api import fit, load_fit, to_pymc
    from mscpkpd.fitting.profiling import profile
    from mscpkpd.fitting.result import Fit
    from mscpkpd.model import Model
    from mscpkpd.modelfile import load_model, load_regimen, models
    from mscpkpd.noncompartmental import nca
    from mscpkpd.predictive import npde, vpc
    from mscpkpd.predictive.priors import prior_predictive
    from mscpkpd.responder import Responder, load_responder
    from mscpkpd.responder.summaries import prior_from_summary
    from mscpkpd.simulation import simulate

__version__ = "0.1.0"

# name -> module that defines it; the module is imported when the name is first used
_PUBLIC = {
    "Design": "designs",
    "Fit": "fitting.result",
    "Model": "model",
    "Regimen": "dosing",
    "Responder": "responder",
    "Study": "data",
    "bolus": "dosing",
    "calibrate": "calibration",
    "compare": "diagnostics",
    "exposure": "exposures",
    "fit": "fitting.api",
    "infusion": "dosing",
    "load_fit": "fitting.api",
    "load_model": "modelfile",
    "load_petab": "exchange.petab_problem",
    "load_regimen": "modelfile",
    "load_responder": "responder",
    "models": "modelfile",
    "nca": "noncompartmental",
    "npde": "predictive",
    "prior_from_summary": "responder.summaries",
    "prior_predictive": "predictive.priors",
    "profile": "fitting.profiling",
    "read_cohort": "cohort",
    "read_study": "data",
    "simulate": "simulation",
    "to_pymc": "fitting.api",
    "vpc": "predictive",
}
_MODULES = ("errors", "plots", "report")

__all__ = [
    "Design",
    "Fit",
    "Model",
    "Regimen",
    "Responder",
    "Study",
    "bolus",
    "calibrate",
    "compare",
    "errors",
    "exposure",
    "fit",
    "infusion",
    "load_fit",
    "load_model",
    "load_petab",
    "load_regimen",
    "load_responder",
    "models",
    "nca",
    "npde",
    "plots",
    "prior_from_summary",
    "prior_predictive",
    "profile",
    "read_cohort",
    "read_study",
    "report",
    "simulate",
    "to_pymc",
    "vpc",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        value = getattr(import_module(f"mscpkpd.{_PUBLIC[name]}"), name)
    elif name in _MODULES:
        value = import_module(f"mscpkpd.{name}")
    else:
        raise AttributeError(f"module 'mscpkpd' has no attribute '{name}'")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
