"""Show the default of an option in the API reference, instead of the call that declares it.

An extension of griffe, which reads the package for mkdocstrings. Fields of options are declared as
`transfers: int = option(8, "--transfers", ...)`; a reader of the reference wants the 8.
"""

from __future__ import annotations

from typing import Any

import griffe

DECLARATION, NESTED = "option", "option_group"


class OptionDefaults(griffe.Extension):
    """Replace calls of `option` by the default that they take first."""

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Take the first argument of a declaration as the value of its field."""
        value = attr.value
        if not isinstance(value, griffe.ExprCall):
            return
        if str(value.function) == DECLARATION:
            attr.value = next(iter(value.arguments))
        elif str(value.function) == NESTED:
            attr.value = f"{next(iter(value.arguments))}()"
