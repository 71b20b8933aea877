"""Study tables: read a file as text, check it, and say everything that is wrong with it at once."""

from mscpkpd.data.assays import PERCENT_OF_DOSE, PERCENT_PER_GRAM
from mscpkpd.data.read import read_doses, read_study, study_from_frame
from mscpkpd.data.record import Kind, Record
from mscpkpd.data.study import Study, Subject

__all__ = [
    "PERCENT_OF_DOSE",
    "PERCENT_PER_GRAM",
    "Kind",
    "Record",
    "Study",
    "Subject",
    "read_doses",
    "read_study",
    "study_from_frame",
]
