"""What came out: the record of a run, its tables, figures and page."""

from striate.report.folder import read_run, write_run
from striate.report.record import Report

__all__ = ["Report", "read_run", "write_run"]
