"""What a simulated server holds.

`world` has the projects, tasks and organizations and every change to them; `accounts` the users'
passwords and tokens. `tasks`, `media`, `annotations`, `content`, `issues`, `clouds` and `users` are
values, `job_annotations` and `relabel` change annotations. `generation` makes a server's tasks from
a seed, `jpeg` and `masks` their pixels, `dates` the dates.
"""
