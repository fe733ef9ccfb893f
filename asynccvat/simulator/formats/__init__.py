"""The files inside exports, uploads and backups.

`archives` writes an export in any format, `readers` reads an upload in any format. The other
modules with `writer` or `reader` in their names serve a few formats each. `annotations_json` and
its reader are the JSON of CVAT's API, `backups` writes backups, and `ready_archives` serves
existing files as exports.
"""
