"""The last line of the server's traceback is the cause, and what to do follows from it."""

from __future__ import annotations

import pytest

from asynccvat.core.annotations.import_failures import import_failure


@pytest.mark.parametrize(
    ("message", "cause", "says"),
    [
        (
            "Traceback:\n  File ...\nValueError: Label 'lorry' is not registered for this task\n",
            "ValueError: Label 'lorry' is not registered for this task",
            "Add the label to the task or its project",
        ),
        ("CvatImportError: Could not match item id: 'a' with any task frame", None, "check their"),
        ("xml.etree.ElementTree.ParseError: syntax error: line 1", None, "make it again"),
        ("Work-horse terminated unexpectedly; waitpid returned 9", None, "want of memory"),
        ("Boom\n\n", "Boom", ""),
        ("", "no reason given", ""),
        (None, "no reason given", ""),
    ],
)
def test_a_failed_import_says_what_to_do(message: str | None, cause: str | None, says: str) -> None:
    found, remedy = import_failure(message)
    assert found == (message if cause is None else cause)
    assert says in remedy
    assert bool(remedy) == bool(says)
