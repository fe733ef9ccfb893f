"""Compare a converted `annotations.xml` with the server's own, except for what the JSON lacks.

The JSON of the API does not say:

- when the server exported (`<dumped>`);
- e-mail addresses of owner and assignee;
- numbers and URLs of segments. A job's number and URL stand in their place.
"""

from __future__ import annotations

import re
from typing import Final

_UNKNOWN: Final = re.compile(
    rb"(?P<open><(?P<name>dumped|email)>)[^<]*(?=</(?P=name)>)"
    rb"|(?P<segment><segment>\s*<id>)[^<]*(?=</id>)"
    rb"|(?P<url><stop>\d+</stop>\s*<url>)[^<]*(?=</url>)"
)
_HEAD_END: Final = b"</meta>"


def comparable_xml(xml: bytes) -> bytes:
    """Return CVAT's XML with what the JSON lacks left out.

    Two files of the same task, one exported and one converted, are the same then.
    """
    head, end, rest = xml.partition(_HEAD_END)

    def emptied(found: re.Match[bytes]) -> bytes:
        return found["open"] or found["segment"] or found["url"]

    return _UNKNOWN.sub(emptied, head) + end + rest
