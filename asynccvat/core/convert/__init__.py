"""Convert a task's JSON into the files of the server's own exports, without the server.

`task_json` reads the JSON, `formats` knows the formats, and `translate` moves annotations from the
labels of one server to those of another.
"""
