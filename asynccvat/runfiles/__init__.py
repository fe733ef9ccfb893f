"""Run files: downloads, uploads and mirrors as a list of steps in YAML.

`declarations` says what such a file holds, `loading` makes steps of one, `checking` asks the
servers before anything is done, `running` carries the steps out. What the steps themselves do is
left to the engine.
"""

from __future__ import annotations

from asynccvat.runfiles.declarations import run_file_schema
from asynccvat.runfiles.loading import load_run_file
from asynccvat.runfiles.reports import RunFileReport, StepPlan, StepReport
from asynccvat.runfiles.run import plan_run_file, run_file
from asynccvat.runfiles.steps import RunFile

__all__ = [
    "RunFile",
    "RunFileReport",
    "StepPlan",
    "StepReport",
    "load_run_file",
    "plan_run_file",
    "run_file",
    "run_file_schema",
]
