"""A cancellation at every moment of every kind of run leaves nothing behind, and loses nothing."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cutting import CountingLoop, Cut, Ended, Way, connected, cut_off, held_connections, in_a_loop
from scenarios import ALL, Log, Scenario, Server

pytestmark = pytest.mark.proof("Cancellation")

NEVER = 1_000_000_000
"""A callback that no run comes to."""

LATER = (1, 2, 3, 5, 8, 20, 50)
"""So many callbacks after the first cancellation comes the second."""

BETWEEN = 2
"""How many moments of each kind of run the ordinary tests look at, besides its first and last."""


def run(scenario: Scenario, place: Path, cut: Cut) -> Ended:
    """Cut a scenario off, look, go on, look again."""
    outcome: list[Ended] = []
    place.mkdir()
    scenario.begin(place)

    async def story(loop: CountingLoop) -> None:
        url, credentials = scenario.server.process.url, scenario.server.credentials
        async with connected(url, **credentials) as client:
            await client.login()
            first, second = Log(), Log()
            ended = await cut_off(loop, lambda: scenario.work(client, place, first), cut)
            assert held_connections(client) == 0, "a connection is held still"
            scenario.check_between(place, all_cancelled=cut.way is Way.LOOP)
            await scenario.go_on(client, place, second)
            scenario.check_end(place, first, second)
            outcome.append(ended)

    in_a_loop(story, all_cancelled=cut.way is Way.LOOP)
    shutil.rmtree(place)
    return outcome[0]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_a_run_cut_off_at_any_moment_leaves_nothing_and_the_next_goes_on(
    kind: type[Scenario],
    server: Server,
    place: Path,
    thorough: bool,
    count_cases: Callable[[int], None],
) -> None:
    base = place / "base"
    base.mkdir()
    scenario = kind(base, server)

    async def prepare(_: CountingLoop) -> None:
        async with connected(server.process.url, **server.credentials) as client:
            await scenario.prepare(client)

    in_a_loop(prepare)
    callbacks = scenario.callbacks
    if callbacks is None:
        whole = run(scenario, place / "whole", Cut(NEVER))
        assert not whole.was_cut
        callbacks = whole.callbacks
    cuts = list(every(callbacks, kind) if thorough else some(callbacks, kind))
    struck = 0
    for number, cut in enumerate(cuts):
        try:
            struck += run(scenario, place / str(number), cut).was_cut
        except BaseException as error:
            error.add_note(f"{kind.__name__} of {callbacks} callbacks, cut off {cut}")
            raise
    # The last moments are later than the end of a run that is shorter than the first was.
    assert struck > len(cuts) / 4, "hardly any run was cut off"
    count_cases(struck)


def every(callbacks: int, kind: type[Scenario]) -> Iterator[Cut]:
    """Every moment, the ways in turn; every third time once more while it cleans up."""
    chance = random.Random(callbacks)
    for at in range(1, callbacks + 1):
        way = kind.ways[at % len(kind.ways)]
        yield Cut(at, way, again=chance.choice(LATER) if chance.random() < 1 / 3 else None)


def some(callbacks: int, kind: type[Scenario]) -> Iterator[Cut]:
    """The first moments, the last ones, and some between."""
    chance = random.Random(kind.__name__)
    between = sorted(chance.sample(range(4, callbacks - 2), BETWEEN))
    for number, at in enumerate([2, *between, callbacks - 1]):
        way = kind.ways[(number + len(kind.__name__)) % len(kind.ways)]
        yield Cut(at, way, again=chance.choice(LATER) if number % 2 else None)
