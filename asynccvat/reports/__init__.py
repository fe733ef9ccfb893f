"""Pages in one file of HTML: about runs, from their events, and about what a mirror holds."""

from asynccvat.reports.recorder import RunRecorder as RunRecorder
from asynccvat.reports.recorder import report_data as report_data
from asynccvat.reports.recorder import report_page as report_page
from asynccvat.reports.statistics import stats_page as stats_page
