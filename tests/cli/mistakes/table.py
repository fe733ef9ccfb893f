"""The mistakes of new users: what is typed, how it ends, and all that is said.

Each entry is one `Mistake`. `{url}` stands for the address of the simulated server, whose user the
environment names; it has the tasks 1 to 6 in the projects 1 and 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Mistake:
    """A command line with a mistake in it.

    Attributes:
        typed: The command as a shell gets it, without the program's name.
        code: The exit code.
        said: The whole of stderr.
        files: Files of the working directory, by name.
        environment: Variables that are set, or unset by None.
        out: The whole of stdout.
    """

    typed: str
    code: int
    said: str
    files: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str | None] = field(default_factory=dict)
    out: str = ""


EMPTY = "is empty. Give a value, or remove the option. Is a variable of the shell not set?"

OPTIONS = (
    Mistake(
        "mirror data --concurrency 1000",
        2,
        "Error: --concurrency '1000' is not accepted. Give a whole number from 1 to 128. "
        "See 'asynccvat mirror --help'.",
    ),
    Mistake(
        "list-tasks --projet-id 5",
        2,
        "Error: there is no option --projet-id. Did you mean --project-id? "
        "See 'asynccvat list-tasks --help'.",
    ),
)

EMPTY_VALUES = tuple(
    Mistake(typed, 2, f"Error: {option} {EMPTY} See 'asynccvat {typed.split()[0]} --help'.")
    for typed, option in (
        ("list-tasks --name ''", "--name"),
        ("list-tasks --owner ''", "--owner"),
        ("list-tasks --subset ''", "--subset"),
        ("list-tasks --assignee ' '", "--assignee"),
        ("list-tasks --filter ''", "--filter"),
        ("list-tasks --updated-since ''", "--updated-since"),
        ("list-tasks --project-id ''", "--project-id"),
        ("list-tasks --url ''", "--url"),
        ("list-tasks --token ''", "--token"),
        ("list-tasks -u ''", "--username"),
        ("list-tasks -p ''", "--password"),
        ("list-tasks --profile ''", "--profile"),
        ("list-tasks --config ''", "--config"),
        ("list-tasks --ca-bundle ''", "--ca-bundle"),
        ("list-tasks --header ''", "--header"),
        ("list-tasks --client-cert ''", "--client-cert"),
        ("list-tasks --proxy ''", "--proxy"),
        ("list-projects --name ''", "--name"),
        ("list-jobs --name ''", "--name"),
        ("mirror data/ --format ''", "--format"),
        ("mirror data/ --report-json ''", "--report-json"),
        ("mirror data/ --failed-from ''", "--failed-from"),
        ("download -t 1 -o ''", "--out-dir"),
        ("download -t '' -o data", "--task-id"),
        ("upload -i '' --all", "--in-dir"),
        ("upload --pair ''", "--pair"),
        ("verify data/ --folder ''", "--folder"),
        ("simulate --host ''", "--host"),
    )
)
"""Values of variables that are not set. Each selected everything, or the working directory."""

GATEWAYS = (
    Mistake(
        "list-tasks --header hidden",
        2,
        "Error: --header: this is not a header. Write it like 'X-Api-Key: value'.",
    ),
    Mistake(
        "list-tasks --header 'Authorization: Basic hidden'",
        2,
        "Error: --header: the header 'Authorization' is set by asynccvat itself. Give the token as "
        "--token or token=.",
    ),
    Mistake(
        "list-tasks --header 'X-Api-Key: '",
        2,
        "Error: --header: the header 'X-Api-Key' has no value, or one that HTTP does not allow. "
        "Give printable ASCII characters. Is a variable of the shell not set?",
    ),
    Mistake(
        "list-tasks --client-key ann.key",
        2,
        "Error: --client-key: there is a client key, but no certificate. Give --client-cert, too.",
    ),
    Mistake(
        "list-tasks --proxy ftp://proxy",
        2,
        "Error: the proxy of --proxy has the scheme 'ftp', which is none of http, https, socks4, "
        "socks4a, socks5, socks5h. Write it like http://proxy.example.com:3128.",
    ),
    Mistake(
        "list-tasks",
        4,
        "Error: no connection to the proxy http://127.0.0.1:1 (HTTP_PROXY) on the way to {url}: "
        "Connection refused. Correct HTTP_PROXY, or add 127.0.0.1 to NO_PROXY.",
        environment={"HTTP_PROXY": "http://bob:hidden@127.0.0.1:1", "NO_PROXY": None},
    ),
    Mistake(
        "list-tasks --url http://cvat.test",
        2,
        "Error: the proxy of HTTP_PROXY has the scheme 'gopher', which is none of http, https, "
        "socks4, socks4a, socks5, socks5h. Correct HTTP_PROXY, or add cvat.test to NO_PROXY.",
        environment={"HTTP_PROXY": "gopher://127.0.0.1:1", "NO_PROXY": None},
    ),
)
"""Ways through gateways and proxies, whose headers and addresses may hold secrets."""

_REMEMBERED = {
    "data/.asynccvat/destination.json": (
        '{"version": 1, "origin": "{url}", "settings": {"format": "COCO 1.0", "images": true, '
        '"history": 2592000.0, "selection": {"project_ids": [1]}}}'
    ),
    "data/.asynccvat/receipts/1.json": "",
}
_REPEAT = "Leave these options out to go on as before, or add --change to change the destination."

DESTINATIONS = (
    *(
        Mistake(typed, 5, f"Error: cannot mirror to 'data': {words}. {_REPEAT}", _REMEMBERED)
        for typed, words in (
            ("mirror data/ -f 'Datumaro 1.0'", "its settings are COCO 1.0, not Datumaro 1.0"),
            ("mirror data/ --no-images", "its settings are with images, not without images"),
            ("mirror data/ --project-id 2", "its settings are project 1, not project 2"),
            ("mirror data/ --name street", "its settings are any name, not name 'street'"),
            ("mirror data/ --everything", "its settings are project 1, not all tasks"),
            ("mirror data/ --history 7d", "its settings are history 30d, not history 7d"),
            (
                "mirror data/ --dry-run --no-images -f 'Datumaro 1.0'",
                "its settings are COCO 1.0, not Datumaro 1.0; with images, not without images",
            ),
        )
    ),
    Mistake(
        "mirror data/ --everything --name street --change",
        2,
        "Error: --everything contradicts --name. Remove one of them.",
        _REMEMBERED,
    ),
    Mistake(
        "mirror data/",
        2,
        "Error: 'data' was written by a newer asynccvat: its format is version 9, and this "
        "asynccvat reads up to 1. Upgrade asynccvat, or choose another destination.",
        {"data/.asynccvat/destination.json": '{"version": 9}'},
    ),
    Mistake(
        "mirror / --dry-run",
        2,
        "Error: cannot mirror to '/': it is the root of the file system. Name a folder in it.",
    ),
    Mistake(
        "mirror data/ --history soon",
        2,
        "Error: --history 'soon' is no time. Write one like 12h, 30d or 4w, or 0 for none. "
        "See 'asynccvat mirror --help'.",
    ),
)
"""Destinations that remember something else, or that may not be where they are."""

MISTAKES = (*OPTIONS, *EMPTY_VALUES, *GATEWAYS, *DESTINATIONS)
