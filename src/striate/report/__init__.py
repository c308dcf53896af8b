"""What came out: the record of a run, its tables, figures and page."""

from striate.report.folder import read_run, write_run
from striate.report.looks import Look, Looks
from striate.report.record import Report

__all__ = ["Look", "Looks", "Report", "read_run", "write_run"]
