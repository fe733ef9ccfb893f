"""Pages about runs: time lines, curves and tables in one file of HTML, from a run's events."""

from asynccvat.reports.recorder import RunRecorder as RunRecorder
from asynccvat.reports.recorder import report_data as report_data
from asynccvat.reports.recorder import report_page as report_page
