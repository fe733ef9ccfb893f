"""Show the default of an option in the API reference, instead of the call that declares it.

An extension of griffe, which reads the package for mkdocstrings. Fields of options are declared as
`transfers: int = option(8, "--transfers", ...)`; a reader of the reference wants the 8.
"""

from __future__ import annotations

from typing import Any

import griffe

DECLARATION = "option"


class OptionDefaults(griffe.Extension):
    """Replace calls of `option` by the default that they take first."""

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Take the first argument of a declaration as the value of its field."""
        value = attr.value
        if isinstance(value, griffe.ExprCall) and str(value.function) == DECLARATION:
            attr.value = next(iter(value.arguments))
