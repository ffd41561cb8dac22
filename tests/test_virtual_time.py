"""The loop under all other tests: what it promises, and that it finds what hangs."""

import asyncio
import gc
import logging
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import anyio
import pytest
from aiolimiter import AsyncLimiter

from .virtual_time import (
    EXECUTOR_DELAY_MAX_S,
    TURN_S,
    TURNS_MAX,
    Deadlock,
    Livelock,
    Loop,
    Process,
    ThreadEntered,
    bury,
    run,
)


def now() -> float:
    return asyncio.get_running_loop().time()


def about(seconds: float) -> Any:
    """Equal but for the microsecond that each turn costs."""
    return pytest.approx(seconds, abs=100 * TURN_S)


# Time


def test_a_year_of_sleep_passes_in_no_time() -> None:
    async def main() -> float:
        await asyncio.sleep(365 * 86_400)
        return now()

    began = time.perf_counter()
    assert run(main()) == pytest.approx(365 * 86_400)
    assert time.perf_counter() - began < 1


def test_ten_thousand_sleeps_take_less_than_two_real_seconds() -> None:
    async def sleeper() -> None:
        for _ in range(1_000):
            await asyncio.sleep(0.01)

    async def main() -> None:
        await asyncio.gather(*(sleeper() for _ in range(10)))

    began = time.perf_counter()
    run(main())
    assert time.perf_counter() - began < 2


def test_every_loop_begins_at_zero() -> None:
    async def main() -> float:
        return now()

    assert run(main()) == run(main()) == about(0)


def test_sleepers_wake_in_the_order_of_their_times() -> None:
    async def main() -> list[int]:
        woken: list[int] = []

        async def sleeper(ms: int) -> None:
            await asyncio.sleep(ms / 1000)
            woken.append(ms)

        await asyncio.gather(*(sleeper(ms) for ms in (30, 10, 50, 20, 40)))
        return woken

    assert run(main()) == [10, 20, 30, 40, 50]


def test_a_turn_moves_the_clock_by_a_microsecond() -> None:
    async def main() -> float:
        before = now()
        await asyncio.sleep(0)
        return now() - before

    assert run(main()) == pytest.approx(TURN_S)


def test_aiolimiter_gets_past_its_float_residue() -> None:
    async def main() -> float:
        limiter = AsyncLimiter(180_000, 60)
        for _ in range(1_000):
            await limiter.acquire(1_500)
        return now()

    assert run(main()) == pytest.approx((1_000 - 120) * 0.5, abs=0.01)


# Order


def test_the_same_seed_gives_the_same_run() -> None:
    assert run(scramble(), seed=7) == run(scramble(), seed=7)


def test_another_seed_gives_another_run() -> None:
    assert run(scramble(), seed=7) != run(scramble(), seed=8)


async def scramble() -> list[tuple[float, int]]:
    """Jobs that race through the executor's pool."""
    seen: list[tuple[float, int]] = []

    async def job(number: int) -> None:
        for _ in range(5):
            await asyncio.get_running_loop().run_in_executor(None, int)
            seen.append((now(), number))

    await asyncio.gather(*(job(number) for number in range(20)))
    return seen


def test_tasks_in_a_set_are_cancelled_in_the_same_order_every_time() -> None:
    async def main() -> list[int]:
        ended: list[int] = []

        async def sleeper(number: int) -> None:
            try:
                await anyio.sleep_forever()
            finally:
                ended.append(number)

        async with anyio.create_task_group() as group:
            held = []
            for number in range(50):
                group.start_soon(sleeper, number)
                held.append(bytearray(number * 37))  # scatters the tasks over the memory
            await anyio.sleep(1)
            group.cancel_scope.cancel()
        return ended

    assert run(main()) == list(range(50))


def test_tasks_are_named_by_their_number_on_the_loop() -> None:
    async def main() -> list[str]:
        return [asyncio.create_task(asyncio.sleep(0)).get_name() for _ in range(2)]

    assert run(main()) == run(main()) == ["Task-2", "Task-3"]


# What hangs is found


def test_a_lost_wake_up_is_a_deadlock_that_names_the_tasks_and_their_places() -> None:
    async def wait_for_nobody() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        await asyncio.create_task(wait_for_nobody(), name="waiter")

    with pytest.raises(
        Deadlock,
        match=r"(?s)main .*\bwaiter: .*wait_for_nobody .*:\d+\) > Event.wait .*locks.py:\d+",
    ):
        run(main())


def test_sleeping_for_ever_is_a_deadlock_if_nobody_else_is_awake() -> None:
    async def main() -> None:
        with anyio.move_on_after(86_400 * 365):
            await anyio.sleep_forever()
        await anyio.sleep_forever()

    with pytest.raises(Deadlock, match=r"at 31536000\."):
        run(main())


def test_a_deadlock_cleans_up_like_any_other_failure() -> None:
    async def main(log: list[str]) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            log.append("cleaned up")

    log: list[str] = []
    with pytest.raises(Deadlock):
        run(main(log))
    assert log == ["cleaned up"]


def test_polling_without_waiting_is_a_livelock_that_names_the_tasks() -> None:
    async def poll() -> None:
        while True:  # noqa: ASYNC110
            await asyncio.sleep(0)

    async def main() -> None:
        async with asyncio.timeout(3_600):  # a timer that is set, but never gets its turn
            await asyncio.create_task(poll(), name="poller")

    with pytest.raises(Livelock, match=r"poller: .*poll"):
        run(main())


def test_waiting_for_no_time_at_all_is_polling_too() -> None:
    async def main() -> None:
        while True:  # noqa: ASYNC110
            await asyncio.sleep(1e-9)

    with pytest.raises(Livelock):
        run(main())


@pytest.mark.parametrize(("turns", "turns_max", "is_alive"), [(90, 100, True), (110, 100, False)])
def test_the_number_of_turns_is_a_parameter(turns: int, turns_max: int, is_alive: bool) -> None:
    async def main() -> None:
        for _ in range(turns):
            await asyncio.sleep(0)

    if is_alive:
        run(main(), turns_max=turns_max)
    else:
        with pytest.raises(Livelock):
            run(main(), turns_max=turns_max)


def test_turns_between_two_timers_are_what_counts() -> None:
    async def main() -> None:
        for _ in range(10):
            for _ in range(TURNS_MAX // 2):
                await asyncio.sleep(0)
            await asyncio.sleep(0.001)

    run(main())


def test_many_callbacks_in_one_turn_are_no_livelock() -> None:
    async def main() -> None:
        await asyncio.gather(*(asyncio.sleep(0) for _ in range(20 * TURNS_MAX)))

    run(main())


# Nothing is lost at the end


def test_tasks_left_behind_are_cancelled() -> None:
    async def main(log: list[str]) -> str:
        async def left_behind() -> None:
            try:
                await asyncio.sleep(3_600)
            finally:
                log.append("cleaned up")

        task = asyncio.create_task(left_behind())
        await asyncio.sleep(0)
        return task.get_name()

    log: list[str] = []
    run(main(log))
    assert log == ["cleaned up"]


def test_they_are_cancelled_oldest_first() -> None:
    async def main(log: list[int]) -> None:
        async def left_behind(number: int) -> None:
            try:
                await asyncio.sleep(3_600)
            finally:
                log.append(number)

        await asyncio.gather(*(asyncio.sleep(0) for _ in range(480)))
        main.tasks = [asyncio.create_task(left_behind(number)) for number in range(100)]  # type: ignore[attr-defined]
        await asyncio.sleep(1)

    log: list[int] = []
    run(main(log))
    assert log == list(range(100))


def test_generators_left_behind_are_closed() -> None:
    log: list[str] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(1)
            log.append("closed")

    left_behind = numbers()

    async def main() -> None:
        await anext(left_behind)

    run(main())
    assert log == ["closed"]


def test_a_waiting_task_that_nobody_refers_to_fails_the_run() -> None:
    async def main() -> None:
        lost = asyncio.create_task(asyncio.Event().wait())
        await asyncio.sleep(1)
        del lost
        gc.collect()

    with pytest.raises(ExceptionGroup) as caught:
        run(main())
    assert caught.group_contains(RuntimeError, match="destroyed")


def test_an_error_nobody_awaited_fails_the_run() -> None:
    async def main() -> None:
        task = asyncio.create_task(fail())
        await asyncio.sleep(1)
        del task

    with pytest.raises(ExceptionGroup) as caught:
        run(main())
    assert caught.group_contains(ZeroDivisionError)


def test_an_error_in_a_callback_fails_the_run() -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_later(1, lambda: 1 // 0)
        await asyncio.sleep(2)

    with pytest.raises(ExceptionGroup) as caught:
        run(main())
    assert caught.group_contains(ZeroDivisionError)


def test_an_error_while_being_cancelled_fails_the_run() -> None:
    async def main() -> None:
        async def left_behind() -> None:
            try:
                await asyncio.sleep(3_600)
            finally:
                await fail()

        main.task = asyncio.create_task(left_behind())  # type: ignore[attr-defined]
        await asyncio.sleep(0)

    with pytest.raises(ExceptionGroup) as caught:
        run(main())
    assert caught.group_contains(ZeroDivisionError)


def test_the_error_of_main_itself_comes_out_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        run(fail())


async def fail() -> None:
    raise ZeroDivisionError


# The executor and threads


def test_the_executor_answers_later_but_does_it_now() -> None:
    async def main() -> None:
        done: list[str] = []
        future = asyncio.get_running_loop().run_in_executor(None, done.append, "done")
        assert done == ["done"]
        assert not future.done()
        began = now()
        await future
        assert 0 < now() - began <= EXECUTOR_DELAY_MAX_S + 3 * TURN_S

    run(main())


def test_an_error_in_the_executor_reaches_the_one_who_waits() -> None:
    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await asyncio.get_running_loop().run_in_executor(None, lambda: 1 // 0)

    run(main())


def test_an_answer_of_the_executor_that_nobody_wants_any_more_is_dropped() -> None:
    async def main() -> None:
        asyncio.get_running_loop().run_in_executor(None, int).cancel()
        await asyncio.sleep(1)

    run(main())


def test_one_thread_answers_in_order_and_a_pool_does_not() -> None:
    async def main(executor: ThreadPoolExecutor | None) -> list[int]:
        answered: list[int] = []

        async def ask(number: int) -> None:
            await asyncio.get_running_loop().run_in_executor(executor, int)
            answered.append(number)

        await asyncio.gather(*(ask(number) for number in range(20)))
        return answered

    with ThreadPoolExecutor(max_workers=1) as thread:
        assert run(main(thread)) == list(range(20))
    assert run(main(None)) != list(range(20))


def test_a_thread_that_calls_in_fails_both_itself_and_the_run() -> None:
    async def main(errors: list[BaseException]) -> None:
        loop = asyncio.get_running_loop()

        def intrude() -> None:
            try:
                loop.call_soon_threadsafe(int)
            except ThreadEntered as error:
                errors.append(error)

        thread = threading.Thread(target=intrude, name="intruder")
        thread.start()
        thread.join()
        await asyncio.sleep(1)

    errors: list[BaseException] = []
    with pytest.raises(ThreadEntered, match="intruder"):
        run(main(errors))
    assert len(errors) == 1


def test_the_loops_own_thread_may_call_in_as_if_from_outside() -> None:
    async def main() -> None:
        called = asyncio.Event()
        asyncio.get_running_loop().call_soon_threadsafe(called.set)
        await called.wait()

    run(main())


# kill -9


def test_a_killed_process_runs_nothing_any_more() -> None:
    async def main(log: list[str]) -> None:
        async def work() -> None:
            child = asyncio.create_task(wait("child"))
            asyncio.get_running_loop().call_later(5, log.append, "timer")
            async with Guarded():
                await wait("parent")
            await child

        async def wait(who: str) -> None:
            try:
                await asyncio.sleep(2)
                log.append(f"{who} woke")
            except asyncio.CancelledError:
                log.append(f"{who} was cancelled")
                raise
            finally:
                log.append(f"{who} cleaned up")

        class Guarded:
            async def __aenter__(self) -> None:
                log.append("entered")

            async def __aexit__(self, *_: object) -> None:
                log.append("left")

        process = Process("victim")
        task = process.spawn(work())
        task.add_done_callback(lambda _: log.append("done"))
        await asyncio.sleep(1)
        process.kill()
        del task, process
        gc.collect()
        await asyncio.sleep(10)

    log: list[str] = []
    run(main(log))
    gc.collect()
    assert log == ["entered"]


def test_what_was_ready_to_run_is_dropped_too() -> None:
    async def main(log: list[str]) -> None:
        async def work() -> None:
            await asyncio.sleep(0)
            log.append("woke")

        process = Process("victim")
        process.spawn(work())
        await asyncio.sleep(0)
        process.kill()
        never_started = Process("stillborn")
        never_started.spawn(work())
        never_started.kill()
        await asyncio.sleep(1)

    log: list[str] = []
    run(main(log))
    assert log == []


def test_a_reply_to_the_dead_wakes_nobody() -> None:
    async def main(log: list[str]) -> None:
        reply = asyncio.get_running_loop().create_future()

        async def work() -> None:
            log.append(await reply)

        process = Process("victim")
        process.spawn(work())
        await asyncio.sleep(1)
        process.kill()
        reply.set_result("reply")
        await asyncio.sleep(1)

    log: list[str] = []
    run(main(log))
    assert log == []


def test_the_exchange_finishes_what_the_dead_had_asked_for() -> None:
    async def main() -> list[str]:
        booked: list[str] = []
        exchange = Process("exchange")

        async def book() -> str:
            await asyncio.sleep(2)
            booked.append("loan")
            return "reply"

        async def client() -> None:
            booked.append(await exchange.spawn(book()))

        process = Process("client")
        process.spawn(client())
        await asyncio.sleep(1)
        process.kill()
        await asyncio.sleep(10)
        return booked

    assert run(main()) == ["loan"]


def test_others_go_on_after_a_death_and_a_new_process_takes_over() -> None:
    async def main() -> list[str]:
        log: list[str] = []

        async def work(name: str) -> None:
            for _ in range(3):
                await asyncio.sleep(1)
                log.append(name)

        first, neighbour = Process("first"), Process("neighbour")
        first.spawn(work("first"))
        neighbour.spawn(work("neighbour"))
        await asyncio.sleep(1.5)
        first.kill()
        await Process("second").spawn(work("second"))
        return log

    assert run(main()) == ["first"] + 2 * ["neighbour"] + ["second", "neighbour"] + 2 * ["second"]


def test_a_process_started_by_another_does_not_die_with_it() -> None:
    async def main() -> list[str]:
        log: list[str] = []

        async def child() -> None:
            await asyncio.sleep(2)
            log.append("child")

        async def parent() -> None:
            Process("child").spawn(child())
            await asyncio.sleep(3_600)

        process = Process("parent")
        process.spawn(parent())
        await asyncio.sleep(1)
        process.kill()
        await asyncio.sleep(2)
        return log

    assert run(main()) == ["child"]


def test_dying_within_stops_on_the_spot() -> None:
    async def main(log: list[str]) -> None:
        process = Process("victim")

        async def work() -> None:
            try:
                await process.die()
                log.append("lived on")
            finally:
                log.append("cleaned up")

        process.spawn(work())
        await asyncio.sleep(1)
        assert process.is_dead

    log: list[str] = []
    run(main(log))
    assert log == []


def test_dead_in_the_executor_means_done_but_not_known() -> None:
    async def main(log: list[str]) -> None:
        process = Process("victim")

        def commit() -> None:
            log.append("committed")
            process.kill()

        async def work() -> None:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(None, commit)
            log.append("known")

        process.spawn(work())
        await asyncio.sleep(1)

    log: list[str] = []
    run(main(log))
    assert log == ["committed"]


def test_the_last_step_of_the_dead_starts_nothing() -> None:
    async def main(log: list[str]) -> None:
        process = Process("victim")

        async def work() -> None:
            loop = asyncio.get_running_loop()
            process.kill()
            loop.call_soon(log.append, "called soon")
            loop.call_later(1, log.append, "called later")
            loop.run_in_executor(None, log.append, "called in the executor")
            started = asyncio.create_task(log_it())
            await started

        async def log_it() -> None:
            log.append("started a task")

        process.spawn(work())
        await asyncio.sleep(2)

    log: list[str] = []
    run(main(log))
    gc.collect()
    assert log == []


def test_generators_of_the_dead_are_not_closed_either() -> None:
    async def main(log: list[str]) -> None:
        async def numbers() -> AsyncIterator[int]:
            try:
                while True:
                    yield 1
            finally:
                log.append("closed")

        held_outside = [numbers()]

        async def work() -> None:
            await anext(held_outside[0])
            async for _ in numbers():
                await asyncio.sleep(1)

        process = Process("victim")
        process.spawn(work())
        await asyncio.sleep(1.5)
        process.kill()
        held_outside.clear()
        gc.collect()
        await asyncio.sleep(1)

    log: list[str] = []
    run(main(log))
    gc.collect()
    assert log == []


def test_the_dead_have_no_part_in_a_deadlock_report() -> None:
    async def main() -> None:
        process = Process("victim")
        process.spawn(asyncio.sleep(3_600), name="dead task")
        await asyncio.sleep(1)
        process.kill()
        await asyncio.Event().wait()

    with pytest.raises(Deadlock) as caught:
        run(main())
    assert "main" in str(caught.value)
    assert "dead task" not in str(caught.value)


def test_a_dead_process_starts_nothing() -> None:
    async def main() -> None:
        process = Process("victim")
        process.kill()
        with pytest.raises(AssertionError, match="victim"):
            process.spawn(asyncio.sleep(0))

    run(main())


def test_an_anyio_task_group_dies_without_leaving_its_scope() -> None:
    async def main(log: list[str]) -> None:
        async def work() -> None:
            try:
                with anyio.move_on_after(2):
                    async with anyio.create_task_group() as group:
                        group.start_soon(anyio.sleep, 5)
                        group.start_soon(anyio.sleep_forever)
            finally:
                log.append("left the scope")

        process = Process("victim")
        process.spawn(work())
        await anyio.sleep(1)
        process.kill()
        await anyio.sleep(10)

    log: list[str] = []
    run(main(log))
    assert log == []


def test_the_dead_make_no_noise(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(None)

        async def work() -> None:
            never_closed = anyio.create_memory_object_stream[int](1)
            try:
                await never_closed[1].receive()
            finally:  # clean-up that waits refuses to be closed
                try:
                    await asyncio.sleep(0)
                finally:
                    await asyncio.sleep(0)

        process = Process("victim")
        process.spawn(work())
        await anyio.sleep(1)
        process.kill()

    bury()  # the dead of other tests
    with caplog.at_level(logging.WARNING):
        run(main())
        bury()
        gc.collect()
    assert caplog.records == []


def test_burying_runs_the_clean_up_of_the_dead_at_last() -> None:
    async def main(log: list[str]) -> None:
        async def work() -> None:
            try:
                await asyncio.sleep(3_600)
            finally:
                log.append("cleaned up")

        process = Process("victim")
        process.spawn(work())
        await asyncio.sleep(1)
        process.kill()
        bury()  # too early: the loop is still running
        assert log == []

    log: list[str] = []
    run(main(log))
    bury()
    assert log == ["cleaned up"]


# Without a running loop, as hypothesis's synchronous rules use it


@pytest.fixture
def loop() -> Iterator[Loop]:
    with closing(Loop()) as loop:
        yield loop
        loop.cancel_leftovers()


def test_a_loop_can_be_driven_step_by_step(loop: Loop) -> None:
    process = Process("victim", loop=loop)
    task = process.spawn(asyncio.sleep(5))
    loop.run_until_complete(asyncio.sleep(1))
    assert not task.done()
    process.kill()
    loop.run_until_complete(asyncio.sleep(10))
    assert not task.done()
    assert loop.time() == about(11)


# anyio, with pytest's plugin


@pytest.mark.anyio
async def test_a_marked_test_runs_in_virtual_time() -> None:
    assert isinstance(asyncio.get_running_loop(), Loop)
    assert now() == about(0)
    await anyio.sleep(86_400)
    assert now() == about(86_400)


@pytest.fixture
async def slow_to_start() -> AsyncIterator[float]:
    await anyio.sleep(60)
    yield now()
    await anyio.sleep(60)


@pytest.mark.anyio
async def test_a_fixture_shares_the_clock_of_its_test(slow_to_start: float) -> None:
    assert slow_to_start == about(60)
    assert now() == about(60)


@pytest.mark.anyio
async def test_anyio_waits_in_virtual_time() -> None:
    began = now()
    event = anyio.Event()
    seen: list[str] = []

    async def waiter() -> None:
        await event.wait()
        seen.append("event")

    async with anyio.create_task_group() as group:
        group.start_soon(waiter)
        await anyio.sleep(5)
        event.set()
    with anyio.move_on_after(10) as scope:
        await anyio.sleep_forever()
    with pytest.raises(TimeoutError), anyio.fail_after(20):
        await anyio.sleep(30)

    assert seen == ["event"]
    assert scope.cancelled_caught
    assert now() - began == about(35)


@pytest.mark.anyio
async def test_a_process_can_be_killed_under_anyio_too() -> None:
    log: list[str] = []

    async def work() -> None:
        try:
            await anyio.sleep(2)
        finally:
            log.append("cleaned up")

    process = Process("victim")
    process.spawn(work())
    await anyio.sleep(1)
    process.kill()
    await anyio.sleep(2)
    assert log == []


@pytest.mark.anyio
@pytest.mark.real_time
async def test_a_test_marked_real_time_runs_on_a_real_loop() -> None:
    assert not isinstance(asyncio.get_running_loop(), Loop)
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    server.close()
    await server.wait_closed()
