"""Run files: downloads, uploads and mirrors as a list of steps in YAML.

- `declarations` says which keys such a file has; `value_types` and `mappings` read their values.
- `loading` and `step_builder` make `steps` of a file; `nodes` collects what is wrong with it.
- `preflight` checks what the servers know, before the first step.
- `run` runs the steps with the verbs of `api`, on the clients of `accounts`; `reports` sums up.
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
