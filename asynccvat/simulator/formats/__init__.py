"""The files inside exports, uploads and backups.

`archives` writes an export in any format, `readers` reads an upload in any format. The other
modules with `writer` or `reader` in their names serve a few formats each. `annotations_json` and
its reader are the JSON of CVAT's API; `labels_json` reads labels. `backups` writes backups,
`backup_reader` reads them, and `dataset_reader` reads datasets with images. `task_data` reads the
media of new tasks, by `data_options`, `image_headers` and `video_headers`. `ready_archives` serves
existing files as exports.
"""
