"""Requests, and the queues whose workers run them.

`requests` are values and `registry` remembers them. `work_queue` runs requests; `export_queue` and
`import_queue` define what exports and imports do. `restores` and `dataset_imports` make tasks of
backups and datasets. `archives` writes the archives of export results,
`uploads` keeps the files to import, and `processor` spends the time that work takes.
"""
