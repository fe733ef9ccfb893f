"""Requests, and the queues whose workers run them.

`requests` are values and `registry` remembers them. `work_queue` runs requests; `export_queue`,
`import_queue` and `creation_queue` define what exports, imports and new tasks do. `restores` and
`dataset_imports` make tasks of backups and datasets. `archives` writes the archives of export
results, `uploads` keeps the files to import, `task_files` those of new tasks, and `processor`
spends the time that work takes.
"""
