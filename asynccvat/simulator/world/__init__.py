"""What a simulated server holds.

`world` has the projects, tasks and organizations and every change to them; `accounts` the users'
passwords and tokens. `tasks`, `annotations`, `content` and `users` are values, `generation` makes
a server's tasks from a seed, `jpeg` and `masks` their pixels, `dates` the dates.
"""
