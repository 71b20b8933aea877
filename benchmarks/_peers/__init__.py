"""The peers, one module each; a module that cannot be imported here is skipped with its reason.

A module has a ``NAME`` and offers some of

- ``solver(posed, tolerance)``: a function from parameters of subjects to outputs;
- ``gradient(density, tolerance)``: a function from coordinates to the gradient of the log density;
- ``sample(density, tolerance, ...)``: draws of the posterior, with ``slopes``, the gradient behind them.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

MODULES = {
    "roadrunner_cvode": ("libRoadRunner", ("solver",)),
    "stan_bdf": ("Stan ode_bdf", ("gradient", "sample")),
    "scipy_lsoda": ("SciPy LSODA", ("solver",)),
    "casadi_cvodes": ("CasADi CVODES", ("solver", "gradient")),
    "diffrax_kvaerno": ("diffrax Kvaerno5", ("solver", "gradient")),
    "pymc_ode": ("PyMC pymc.ode", ("gradient",)),
    "numpyro_nuts": ("NumPyro + diffrax", ("sample",)),
    "desolve_lsoda": ("R deSolve lsoda", ("solver",)),
}


def offering(function: str) -> tuple[list[ModuleType], dict[str, str]]:
    """Peers that offer a function, and why others that would are not here.

    Parameters
    ----------
    function : str
        Its name.
    """
    found, skipped = [], {}
    for module, (name, offers) in MODULES.items():
        if function not in offers:
            continue
        try:
            found.append(import_module(f"_peers.{module}"))
        except ImportError as error:
            skipped[name] = f"not installed ({error})"
    return found, skipped
