"""The verbs, each with a plan and a run. The work is done in `commands`.

`verify` lives in `commands.verify`, as it needs no server, and `run_file` in `runfiles`. The names
of the modules are plurals, since `asynccvat.mirror` is the verb.
"""
