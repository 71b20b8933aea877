"""A model: states, rates, routes, outputs and parameters as frozen values, checked before anything runs."""

from mscpkpd.model.checks import check
from mscpkpd.model.description import Model
from mscpkpd.model.rows import BLQ_METHODS, LEVELS, VIABLE, Covariance, Derived, Output, Route, State, Variability

__all__ = [
    "BLQ_METHODS",
    "LEVELS",
    "VIABLE",
    "Covariance",
    "Derived",
    "Model",
    "Output",
    "Route",
    "State",
    "Variability",
    "check",
]
