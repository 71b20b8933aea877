"""One self-contained HTML page for each run folder, and the folders themselves."""

from __future__ import annotations

from mscpkpd.report.pages import write_report
from mscpkpd.report.runs import write_fit_run, write_responder_run, write_score_run, write_simulation_run

__all__ = ["write_fit_run", "write_report", "write_responder_run", "write_score_run", "write_simulation_run"]
