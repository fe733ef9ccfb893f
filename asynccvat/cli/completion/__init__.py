"""Complete values for the Tab key: formats, projects, profiles, columns, topics of help.

typer completes commands, options, and words that an option chooses from. `values` names the values,
`answers` asks the server, `cache` keeps its last answers.
"""
