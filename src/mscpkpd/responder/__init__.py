"""Probability of response to MSC from CXCL10 at baseline: a responder file, its update with a cohort, and scores.

::

    prior  = load_responder("sr_agvhd_cxcl10")
    scorer = prior.update(read_cohort("trial.csv"), seed=3)
    scorer.score(read_cohort("patients.csv"))

Read `BANNER` first. The model is written out in the head of the responder file.
"""

from mscpkpd.responder.banner import BANNER
from mscpkpd.responder.definition import responders
from mscpkpd.responder.model import Responder, load_responder
from mscpkpd.responder.performance import auc_of_slope
from mscpkpd.responder.pooling import PooledRate, RateUpdate, update_rate
from mscpkpd.responder.scorer import Scorer, load_scorer

__all__ = [
    "BANNER",
    "PooledRate",
    "RateUpdate",
    "Responder",
    "Scorer",
    "auc_of_slope",
    "load_responder",
    "load_scorer",
    "responders",
    "update_rate",
]
