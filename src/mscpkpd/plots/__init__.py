"""Figures for each job; every function returns a Matplotlib figure and changes no setting of Matplotlib.

Means carry the SD of one subject, bands are central intervals, colours can be told apart by everybody. What rests on
parameters that the data did not inform says "prior only"; invented data say "SYNTHETIC".
"""

from __future__ import annotations

from mscpkpd.plots.calibration import rank_plots
from mscpkpd.plots.cohorts import (
    calibration_plot,
    decision_curves,
    enrichment,
    learning_curves,
    level_and_change,
    prior_and_cohort,
    response_rates,
)
from mscpkpd.plots.curves import fitted_curves
from mscpkpd.plots.designs import identifiability
from mscpkpd.plots.diagnosis import check_figures, comparison
from mscpkpd.plots.diagram import structure
from mscpkpd.plots.evidence import estimates_and_truth, facts_and_fit, facts_and_priors
from mscpkpd.plots.individuals import individual_fits
from mscpkpd.plots.learning import learned_shares, priors_and_posteriors
from mscpkpd.plots.observations import data_and_fit
from mscpkpd.plots.patients import scored_patients
from mscpkpd.plots.predictive import prediction_errors, visual_check
from mscpkpd.plots.priors import prior_check
from mscpkpd.plots.profiles import likelihood_profile
from mscpkpd.plots.schedules import exposure_comparison, schedules_side_by_side
from mscpkpd.plots.studies import raw_data
from mscpkpd.plots.style import Marks, save
from mscpkpd.plots.terminal import terminal_phases

__all__ = [
    "Marks",
    "calibration_plot",
    "check_figures",
    "comparison",
    "data_and_fit",
    "decision_curves",
    "enrichment",
    "estimates_and_truth",
    "exposure_comparison",
    "facts_and_fit",
    "facts_and_priors",
    "fitted_curves",
    "identifiability",
    "individual_fits",
    "learned_shares",
    "learning_curves",
    "level_and_change",
    "likelihood_profile",
    "prediction_errors",
    "prior_and_cohort",
    "prior_check",
    "priors_and_posteriors",
    "rank_plots",
    "raw_data",
    "response_rates",
    "save",
    "schedules_side_by_side",
    "scored_patients",
    "structure",
    "terminal_phases",
    "visual_check",
]
