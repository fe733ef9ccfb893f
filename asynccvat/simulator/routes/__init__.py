"""The handlers of CVAT's API, and the table of paths.

`table` tells which handler serves a path; modules such as `tasks`, `exports` and `imports` have the
handlers. Handlers take a `calls.Call`, and share `lookups` (one object), `selections`, `filters`,
`scopes` and `paging` (lists), `permissions`, `forms`, and `serializers` and `shown` (JSON). `costs`
tells how long a call takes.
"""
