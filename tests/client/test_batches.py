"""Questions that come while a list is read share the next one, and none harms another."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.client.batches import Batches
from asynccvat.errors import ServerError

pytestmark = pytest.mark.anyio


AT_ONCE: AbstractAsyncContextManager[object] = nullcontext()


class Server:
    """Answers a list when it is asked to. The value of an id tells which list had it."""

    def __init__(self) -> None:
        self.lists: list[tuple[int, ...]] = []
        self.absent: set[int] = set()
        self._answer: asyncio.Future[None] | None = None

    @property
    def is_reading(self) -> bool:
        return self._answer is not None

    async def read(self, ids: Sequence[int]) -> Mapping[int, int]:
        assert self._answer is None, "two lists are read at once"
        number = len(self.lists)
        self.lists.append(tuple(ids))
        self._answer = asyncio.get_running_loop().create_future()
        try:
            await self._answer
        finally:
            self._answer = None
        return {one: number for one in ids if one not in self.absent}

    def answer(self, error: Exception | None = None) -> None:
        assert self._answer is not None
        if error is None:
            self._answer.set_result(None)
        else:
            self._answer.set_exception(error)


async def settle() -> None:
    # Each of many that wait for one list needs a turn of its own.
    for _ in range(50):
        await anyio.lowlevel.checkpoint()


def ask(batches: Batches[int], *ids: int) -> list[asyncio.Task[int | None]]:
    return [asyncio.create_task(batches.get(one)) for one in ids]


@pytest.fixture
def lists() -> Server:
    return Server()


@pytest.fixture
def batches(lists: Server) -> Batches[int]:
    return Batches(lists.read, turn=AT_ONCE)


async def test_a_question_alone_is_asked_at_once(lists: Server, batches: Batches[int]) -> None:
    (one,) = ask(batches, 7)
    await settle()
    assert lists.lists == [(7,)]
    lists.answer()
    assert await one == 0


async def test_questions_while_a_list_is_read_share_the_next(
    lists: Server, batches: Batches[int]
) -> None:
    (first,) = ask(batches, 7)
    await settle()
    later = ask(batches, 9, 8, 7)
    await settle()
    lists.answer()
    await settle()
    assert lists.lists == [(7,), (7, 8, 9)], "the same id is asked again: its answer is younger"
    lists.answer()
    assert await first == 0
    assert await asyncio.gather(*later) == [1, 1, 1]


async def test_what_the_list_leaves_out_is_none(lists: Server, batches: Batches[int]) -> None:
    lists.absent.add(8)
    (first,) = ask(batches, 1)
    await settle()
    later = ask(batches, 8, 9)
    await settle()
    lists.answer()
    await settle()
    lists.answer()
    assert await asyncio.gather(first, *later) == [0, None, 1]


async def test_an_error_reaches_all_who_share_the_list_and_each_has_its_own(
    lists: Server, batches: Batches[int]
) -> None:
    (first,) = ask(batches, 1)
    await settle()
    later = ask(batches, 2, 3)
    await settle()
    lists.answer()
    await settle()
    lists.answer(ServerError("the server is down.", status=502, step="list"))
    found = await asyncio.gather(first, *later, return_exceptions=True)
    assert found[0] == 0
    errors = [one for one in found if isinstance(one, ServerError)]
    assert [(str(one), one.status, one.step) for one in errors] == [
        ("the server is down.", 502, "list")
    ] * 2
    errors[0].task_id = 2
    assert errors[1].task_id is None
    assert len(lists.lists) == 2, "the list is not read again"


async def test_an_error_does_not_last(lists: Server, batches: Batches[int]) -> None:
    (first,) = ask(batches, 1)
    await settle()
    lists.answer(ServerError("the server is down.", status=502))
    with pytest.raises(ServerError):
        await first
    (again,) = ask(batches, 1)
    await settle()
    lists.answer()
    assert await again == 1


async def test_another_reads_for_all_if_the_reader_is_cancelled(
    lists: Server, batches: Batches[int]
) -> None:
    (first,) = ask(batches, 1)
    await settle()
    reader, *others = ask(batches, 2, 3, 4)
    await settle()
    lists.answer()
    await settle()
    reader.cancel()
    await settle()
    lists.answer()
    assert await first == 0
    assert await asyncio.gather(*others) == [2, 2]
    assert reader.cancelled()


async def test_a_cancelled_question_harms_no_other(lists: Server, batches: Batches[int]) -> None:
    (first,) = ask(batches, 1)
    await settle()
    others = ask(batches, 2, 3)
    await settle()
    others[1].cancel()
    await settle()
    lists.answer()
    await settle()
    lists.answer()
    assert [await first, await others[0]] == [0, 1]


async def test_questions_join_the_list_until_its_turn_comes(lists: Server) -> None:
    turn = asyncio.Lock()
    batches = Batches(lists.read, turn=turn)
    await turn.acquire()
    (first,) = ask(batches, 1)
    await settle()
    (second,) = ask(batches, 2)
    await settle()
    assert not lists.lists
    turn.release()
    await settle()
    assert lists.lists == [(1, 2)]
    lists.answer()
    assert [await first, await second] == [0, 0]


EVENTS = st.one_of(
    st.integers(1, 4),
    st.sampled_from(["answer", "fail", "cancel the oldest", "cancel the newest"]),
)


@given(events=st.lists(EVENTS, max_size=40))
def test_every_answer_is_younger_than_its_question(events: list[int | str]) -> None:
    anyio.run(_any_order, events)


async def _any_order(events: list[int | str]) -> None:
    lists = Server()
    batches = Batches(lists.read, turn=AT_ONCE)
    # Each question, and how many lists had begun when it was asked.
    asked: list[tuple[asyncio.Task[int | None], int]] = []
    for event in events:
        waiting = [task for task, _ in asked if not task.done()]
        if isinstance(event, int):
            (task,) = ask(batches, event)
            asked.append((task, len(lists.lists)))
        elif event.startswith("cancel") and waiting:
            waiting[0 if "oldest" in event else -1].cancel()
        elif lists.is_reading and not event.startswith("cancel"):
            lists.answer(ServerError("down", status=502) if event == "fail" else None)
        await settle()
    while lists.is_reading:
        lists.answer()
        await settle()
    for question, begun in asked:
        assert question.done(), "a question is never forgotten"
        if question.cancelled() or question.exception() is not None:
            continue
        number = question.result()
        assert number is not None
        assert number >= begun
