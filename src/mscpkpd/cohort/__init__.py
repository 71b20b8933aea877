"""Patient tables for the responder model: read, check, keep."""

from mscpkpd.cohort.patients import GRADES, Level, Measurement, Patient
from mscpkpd.cohort.rows import COLUMNS
from mscpkpd.cohort.table import Cohort, cohort_from_frame, read_cohort

__all__ = ["COLUMNS", "GRADES", "Cohort", "Level", "Measurement", "Patient", "cohort_from_frame", "read_cohort"]
