"""Defects planted on purpose: each is one small change to the rules that some check has to find.

`by` is the check that does: the lives in memory (`plain`), those that look at the account first
(`looks`), of the whole stack (`http`) or of a `sidecar` and its callers, the `matrix` of troubles,
the `crashes`, the `power cuts`, or a file of tests. `seed` is the first life, cell, point or cut
that finds it there.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """One change: `sound` stands exactly once in the file and is replaced by `broken`."""

    name: str
    file: str
    sound: str
    broken: str
    by: str
    seed: int


DEFECTS = (
    Defect(
        name="a lost answer is sent again blindly",
        file="lifecycle.py",
        sound="return _unknown(entry, event.answer, reason, policy, now_ms), Settle()",
        broken="return _next(_ended(entry, Outcome.LOST, now_ms), State.QUEUED), Release()",
        by="plain",
        seed=0,
    ),
    Defect(
        name="one look proves absence",
        file="lifecycle.py",
        sound="if entry.absent_at_ms is None:",
        broken="entry = revised(entry, absent_at_ms=entry.absent_at_ms or 0)\n    if False:",
        by="plain",
        seed=2187,
    ),
    Defect(
        name="absence is concluded before the fence",
        file="lifecycle.py",
        sound="if not look.is_trusted or look.as_of_ms <= conclusive_ms:",
        broken="if not look.is_trusted:",
        by="plain",
        seed=1,
    ),
    Defect(
        name="no bound for processing",
        file="policy.py",
        sound="return self.processing_max_ms + self.visibility_max_ms",
        broken="return self.visibility_max_ms",
        by="plain",
        seed=12,
    ),
    Defect(
        name="no bound for visibility",
        file="policy.py",
        sound="return self.processing_max_ms + self.visibility_max_ms",
        broken="return self.processing_max_ms",
        by="plain",
        seed=12,
    ),
    Defect(
        name="absence is concluded from a clock in doubt",
        file="lifecycle.py",
        sound="if not look.is_trusted or look.as_of_ms <= conclusive_ms:",
        broken="if look.as_of_ms <= conclusive_ms:",
        by="plain",
        seed=5292,
    ),
    Defect(
        name="a restart forgets that the exchange's time may have jumped meanwhile",
        file="lifecycle.py",
        sound="max(entry.attempt.fence_ms, known_since_ms)",
        broken="entry.attempt.fence_ms",
        by="sidecar",
        seed=1111049,
    ),
    Defect(
        name="a FAILED record counts as success",
        file="lifecycle.py",
        sound='case [Transaction(status="CONFIRMED") as record]:',
        broken='case [Transaction(status="CONFIRMED" | "FAILED") as record]:',
        by="plain",
        seed=1,
    ),
    Defect(
        name="a PENDING record counts as none",
        file="lifecycle.py",
        sound="""            entry = revised(entry, absent_at_ms=None)
            said = f"txId {record.tran_id} pending"
            return _look_again(entry, policy, now_ms, said, look), Settle()
""",
        broken="""            pass
""",
        by="plain",
        seed=931,
    ),
    Defect(
        name="a match proves something on a shared account",
        file="lifecycle.py",
        sound="if found and not look.is_exclusive:",
        broken="if False:",
        by="plain",
        seed=796,
    ),
    Defect(
        name="-3007 is passed on as final",
        file="lifecycle.py",
        sound="case Disposition.TERMINAL:",
        broken="case Disposition.TERMINAL | Disposition.BUSY:",
        by="plain",
        seed=1,
    ),
    Defect(
        name="a borrow is dropped when its deadline comes, whatever is known of it",
        file="lifecycle.py",
        sound="case State.SENT, Lost(reason):",
        broken="""case State.SENT, Lost(reason) if now_ms >= entry.deadline_ms:
            return _final(entry, State.NOT_EXECUTED, now_ms, "deadline", "too late"), Finish()
        case State.SENT, Lost(reason):""",
        by="plain",
        seed=0,
    ),
    Defect(
        name="equal attempts may overlap",
        file="account_queue.py",
        sound="if _asks_equal(other, entry):",
        broken="if False:",
        by="plain",
        seed=150,
    ),
    Defect(
        name="an unknown attempt does not hold its account",
        file="account_queue.py",
        sound="if attempt.exclusion == self._exclusion(entry):",
        broken="if False:",
        by="plain",
        seed=1,
    ),
    Defect(
        name="the newest goes first",
        file="account_queue.py",
        sound="            row.append(entry)\n",
        broken="            row.appendleft(entry)\n",
        by="plain",
        seed=0,
    ),
    Defect(
        name="no gap between starts",
        file="pace.py",
        sound="return max(0, free_ms - now_ms)",
        broken="return 0",
        by="plain",
        seed=0,
    ),
    Defect(
        name="a 200 without a transaction id is success",
        file="binance.py",
        sound='return Lost("200 without a transaction id")',
        broken="return Accepted(1)",
        by="plain",
        seed=0,
    ),
    Defect(
        name="a lost connection is taken for one that never stood",
        file="exchange.py",
        sound="return Sent(Lost(str(error)), None)",
        broken="return Sent(NotSent(str(error)), None)",
        by="plain",
        seed=7,
    ),
    Defect(
        name="records of orders are matched",
        file="reconcile.py",
        sound="record.origin == OURS",
        broken="record.origin != ''",
        by="plain",
        seed=50,
    ),
    Defect(
        name="a transaction may be claimed twice",
        file="reconcile.py",
        sound="if record.tran_id not in claimed",
        broken="if record.tran_id",
        by="plain",
        seed=25,
    ),
    Defect(
        name="the look begins before the clock is read",
        file="exchange.py",
        sound="return Look(tuple(found.values()), as_of_ms, is_trusted, known_since_ms)",
        broken="return Look(tuple(found.values()), self._clock.now_ms() + 20_000, True, 0)",
        by="plain",
        seed=12,
    ),
    Defect(
        name="a look that failed counts as an empty one",
        file="exchange.py",
        sound="return LookUpFailed(str(error) or type(error).__name__)",
        broken="return Look((), as_of_ms, is_trusted, known_since_ms)",
        by="plain",
        seed=4826,
    ),
    Defect(
        name="an attempt is stamped when it is sent",
        file="exchange.py",
        sound="request = binance.borrow_repay_request(attempt, self._credentials)",
        broken="""stamp, now = str(attempt.timestamp_ms), str(self._clock.now_ms())
        from .model import revised
        late = revised(attempt, body=attempt.body.replace(stamp, now))
        request = binance.borrow_repay_request(late, self._credentials)""",
        by="http",
        seed=0,
    ),
    Defect(
        name="an attempt is sent before it is durable",
        file="sender.py",
        sound="await lane.journal.update(sent, at_ms=flight.attempt.timestamp_ms)",
        broken="""def late():
                writing = lane.journal.update(sent, at_ms=flight.attempt.timestamp_ms)
                self._flights.start(writing, name="late")
            self._loop.call_later(0.05, late)""",
        by="http",
        seed=1,
    ),
    Defect(
        name="the fence is half a second short",
        file="model.py",
        sound="return self.timestamp_ms + self.recv_window_ms",
        broken="return self.timestamp_ms + self.recv_window_ms - 500",
        by="plain",
        seed=1,
    ),
    Defect(
        name="a wider recvWindow is sent than is reckoned with",
        file="binance.py",
        sound="&recvWindow={recv_window_ms}",
        broken="&recvWindow=30000",
        by="plain",
        seed=12,
    ),
    Defect(
        name="a connection that broke counts as one that never stood",
        file="transport.py",
        sound="    aiohttp.ClientConnectorError,  #",
        broken="    aiohttp.ClientConnectionError,  #",
        by="matrix",
        seed=3,
    ),
    Defect(
        name="a timeout counts as never sent",
        file="transport.py",
        sound="    aiohttp.ConnectionTimeoutError,\n",
        broken="    TimeoutError,\n",
        by="matrix",
        seed=10,
    ),
    Defect(
        name="a connection on which a reply came twice is used again",
        file="transport.py",
        sound="if connection.protocol is None or not connection.protocol.should_close:",
        broken="if True:",
        by="matrix",
        seed=43,
    ),
    Defect(
        name="a redirect is followed",
        file="transport.py",
        sound="allow_redirects=False",
        broken="allow_redirects=True",
        by="tests/test_transport.py::TestAnswered::test_a_redirect_is_an_answer_and_is_not_followed",
        seed=0,
    ),
    Defect(
        name="secrets in an exception's text",
        file="transport.py",
        sound="raise ReplyLost(type(error).__name__) from None",
        broken="raise ReplyLost(f'{error!r} {request.query} {request.body!r}') from None",
        by="tests/test_transport.py::TestLost",
        seed=0,
    ),
    Defect(
        name="408 is taken for a refusal",
        file="binance.py",
        sound="if not 400 <= reply.status < 500 or reply.status == 408:",
        broken="if not 400 <= reply.status < 500:",
        by="tests/test_binance.py::test_a_408_may_have_happened",
        seed=0,
    ),
    Defect(
        name="a 5xx with a code is taken for a refusal",
        file="binance.py",
        sound="if not 400 <= reply.status < 500 or reply.status == 408:",
        broken="if reply.status == 408:",
        by="tests/test_binance.py::test_every_5xx_may_have_happened_whatever_it_says",
        seed=0,
    ),
    Defect(
        name="a code of unknown outcome is taken for a refusal",
        file="binance.py",
        sound="if disposition is Disposition.UNKNOWN:",
        broken="if False:",
        by="tests/test_binance.py::test_a_4xx_with_a_code_means_what_the_table_says",
        seed=0,
    ),
    Defect(
        name="amounts pass through float",
        file="binance.py",
        sound="&amount={amount:f}",
        broken="&amount={float(amount)}",
        by="plain",
        seed=0,
    ),
    Defect(
        name="only the first page of records is read",
        file="exchange.py",
        sound="if len(rows) < binance.PAGE_SIZE:",
        broken="if True:\n                    total = 0",
        by="tests/test_exchange.py",
        seed=0,
    ),
    Defect(
        name="a record of another pair is matched",
        file="reconcile.py",
        sound="        and record.symbol == asked.symbol\n",
        broken="",
        by="tests/test_reconcile.py::test_a_record_that_differs_in_anything_does_not_fit",
        seed=0,
    ),
    Defect(
        name="a record of another amount is matched",
        file="reconcile.py",
        sound="        and record.amount == attempt.amount\n",
        broken="",
        by="http",
        seed=308,
    ),
    Defect(
        name="a record of another time is matched",
        file="reconcile.py",
        sound="        and times.from_ms <= record.timestamp_ms <= times.until_ms\n",
        broken="",
        by="tests/test_reconcile.py::test_a_record_that_differs_in_anything_does_not_fit",
        seed=0,
    ),
    Defect(
        name="-3045 is tried again at once, without end",
        file="inventory.py",
        sound="if shortage is None or self._is_over(shortage, entry, now_ms):",
        broken="if True:",
        by="tests/limits/test_starved.py::test_what_needs_no_inventory_is_as_quick_as_ever",
        seed=0,
    ),
    Defect(
        name="429 is ignored",
        file="sender.py",
        sound="                ledger.block(steady_ms + until_ms - now_ms)\n",
        broken="",
        by="plain",
        seed=19,
    ),
    Defect(
        name="weight is charged from the send",
        file="ledger.py",
        sound="until_ms = now_ms + MINUTE_MS + MARGIN_MS",
        broken="until_ms = now_ms + MINUTE_MS - 2_000",
        by="tests/limits/test_minute.py::test_alone_it_uses_nearly_everything_and_is_never_refused",
        seed=0,
    ),
    Defect(
        name="an attempt whose answer was lost weighs nothing",
        file="budget.py",
        sound="self.ledger.lose(charge, steady_ms, steady_ms + attempt.fence_ms - now_ms)",
        broken="self.ledger.drop(charge)",
        by="tests/test_budget.py::test_an_attempt_weighs_for_as_long_as_its_end_says",
        seed=0,
    ),
    Defect(
        name="the minute is forgotten on restart",
        file="worker.py",
        sound="        self.budget.restore(charges, now_ms=now_ms, steady_ms=steady_ms)\n",
        broken="",
        by="tests/limits/test_minute.py::test_a_new_process_knows_what_the_minute_has_seen[7.3-closed-rolling]",
        seed=0,
    ),
    Defect(
        name="what others spend is not seen",
        file="budget.py",
        sound="used = answer.used_weight",
        broken="used = None",
        by="tests/test_budget.py::test_a_replys_header_tells_of_others",
        seed=0,
    ),
    Defect(
        name="no room is left to others after a refusal",
        file="others.py",
        sound="if now_ms >= self._careful_until_ms:",
        broken="if True:",
        by="tests/test_others.py::"
        "test_for_a_minute_after_a_refusal_there_is_room_for_what_came_at_once",
        seed=0,
    ),
    Defect(
        name="what is usual of others is not left to them",
        file="others.py",
        sound="return max(habits.step, habits.usual - known)",
        broken="return 0",
        by="tests/test_others.py::"
        "test_what_is_usual_of_them_is_left_to_them_even_before_they_spend_it",
        seed=0,
    ),
    Defect(
        name="what is free in any minute is free in a fixed one",
        file="ledger.py",
        sound="known = max(0, known + counted - own)",
        broken="known = max(0, known)",
        by="tests/test_ledger.py::test_where_it_is_fixed_nothing_is_free_before_the_minute_ends",
        seed=0,
    ),
    Defect(
        name="what is urgent waits for what others may spend",
        file="ledger.py",
        sound="return self._until_next_change(now_ms), 0",
        broken="return self._until_next_change(now_ms), self._until_next_change(now_ms)",
        by="tests/test_ledger.py::test_what_is_urgent_does_not_wait_for_what_others_may_spend",
        seed=0,
    ),
    Defect(
        name="a fixed window is not recognized",
        file="window.py",
        sound="self._votes, self.minute = 0, Minute.FIXED",
        broken="self._votes = 0",
        by="tests/test_window.py::test_a_fixed_window_is_recognized_as_its_minute_begins",
        seed=0,
    ),
    Defect(
        name="the lane is free before the outcome is durable",
        file="sender.py",
        sound="""                after = await lane.apply(sent, event)
                await lane.leftovers.see_to(after)  # nothing of ours may come between
""",
        broken="""                self._flights.start(lane.apply(sent, event), name="late")
""",
        by="http",
        seed=1,
    ),
    Defect(
        name="what follows is sent although the journal took the outcome alone",
        file="sender.py",
        sound="            elif not await lane.apply_with(sent, event, following.step):\n",
        broken="            elif await lane.apply_with(sent, event, following.step) is None:\n",
        by="tests/test_journal_failure.py",
        seed=0,
    ),
    Defect(
        name="what follows a repayment of everything comes before the look at what it left",
        file="sender.py",
        sound="if leaves_remnants(flight.sent, lane.policy):",
        broken="if False:",
        by="tests/test_sender.py",
        seed=0,
    ),
    Defect(
        name="what was in the air when the process died is taken for never sent",
        file="lifecycle.py",
        sound="""\
            return _unknown(entry, None, "the process ended before it", policy, now_ms), Settle()
""",
        broken="""\
            return _never_left(entry, "the process ended", now_ms), Hold(NotSent)
""",
        by="crashes",
        seed=39,
    ),
    Defect(
        name="what was in the air when the process died is left there",
        file="worker.py",
        sound="await self.apply(entry, Started())",
        broken="pass",
        by="crashes",
        seed=13,
    ),
    Defect(
        name="a key that is there already is queued again",
        file="intake.py",
        sound="""        if kept.submission is not asked:
            return _same(kept, asked), True
        worker.put(kept)
""",
        broken="        worker.put(kept)\n",
        by="plain",
        seed=0,
    ),
    Defect(
        name="a key of another request is answered with that one",
        file="intake.py",
        sound="if not kept.submission.asks_the_same(asked):",
        broken="if False:",
        by="tests/test_scheduler.py::test_the_same_key_with_another_request_is_refused",
        seed=0,
    ),
    Defect(
        name="a caller's cancel undoes what is being taken",
        file="intake.py",
        sound="return await asyncio.shield(accepting)",
        broken="return await accepting",
        by="tests/test_scheduler.py::test_a_caller_cancelled_while_it_submits_does_not_undo_it",
        seed=0,
    ),
    Defect(
        name="what is in the air can be cancelled",
        file="worker.py",
        sound="""        if entry is None:
            return None
        try:
            return await self.apply(""",
        broken="""        if entry is None:
            flying = [e for e in self.in_air.values() if e.key == key and e.attempt is not None]
            if not flying:
                return None
            from .model import revised
            told = revised(flying[0], state=State.CANCELLED, version=flying[0].version + 1,
                           finished_at_ms=self.clock.now_ms())
            await self.journal.update(told, at_ms=self.clock.now_ms())
            self.shared.watchers.changed(told)
            return told
        try:
            return await self.apply(""",
        by="plain",
        seed=0,
    ),
    Defect(
        name="deadlines are looked at five seconds late",
        file="account_queue.py",
        sound="heapq.heappush(self._deadlines, (entry.deadline_ms, entry.seq, entry.key))",
        broken="heapq.heappush(self._deadlines, (entry.deadline_ms + 5000, entry.seq, entry.key))",
        by="plain",
        seed=1,
    ),
    Defect(
        name="what was attempted is EXPIRED",
        file="lifecycle.py",
        sound="    if entry.was_absent:\n        said =",
        broken="    if False:\n        said =",
        by="tests/test_lifecycle.py::test_each_rule_moves_an_entry_and_says_what_to_do",
        seed=0,
    ),
    Defect(
        name="an earlier attempt's refusal is told of a later one",
        file="lifecycle.py",
        sound="entry = revised(_unrefused(_settled(entry)), was_absent=True)",
        broken="entry = revised(_settled(entry), was_absent=True)",
        by="tests/test_lifecycle.py::test_a_code_that_said_nobody_knows_is_not_passed_through_once_that_is_known",
        seed=0,
    ),
    Defect(
        name="a direct reply does not outrank a match",
        file="recorder.py",
        sound="is_ours = isinstance(event, Accepted) and lifecycle.was_matched(holder)",
        broken="is_ours = False",
        by="tests/test_recorder.py",
        seed=0,
    ),
    Defect(
        name="half the round trip is added to the exchange's time",
        file="clock.py",
        sound="offset_ms = server_time_ms - loop_ms",
        broken="offset_ms = server_time_ms - asked_at_s * 1000",
        by="tests/test_clock.py::test_half_the_round_trip_is_never_added",
        seed=0,
    ),
    Defect(
        name="sends although the journal failed",
        file="sender.py",
        sound="""            await self._failed_to_write(flight, error)
            return False
""",
        broken="            return True\n",
        by="tests/test_journal_failure.py",
        seed=0,
    ),
    Defect(
        name="a stale writer moves an entry",
        file="journal/store.py",
        sound='IS_NEXT = "WHERE seq = ? AND key = ? AND version = ? AND',
        broken='IS_NEXT = "WHERE seq = ? AND key = ? AND version <= 9 + ? AND',
        by="tests/journal/test_contract.py::test_a_stale_version_is_refused",
        seed=0,
    ),
    Defect(
        name="one bad write takes the others in its batch with it",
        file="journal/store.py",
        sound='            self._execute("ROLLBACK TO item")\n            outcome = None, error\n',
        broken="            raise\n",
        by="tests/journal/test_batches.py::test_good_and_bad_writes_share_a_transaction",
        seed=0,
    ),
    Defect(
        name="a commit is not synced",
        file="journal/access.py",
        sound='"PRAGMA synchronous = FULL",',
        broken='"PRAGMA synchronous = NORMAL",',
        by="power cuts",
        seed=0,
    ),
    Defect(
        name="the deadline ends an attempt in the air",
        file="sender.py",
        sound="        answer = await lane.exchange.send(flight.attempt)\n",
        broken="""        answer = None
        with anyio.move_on_after((sent.deadline_ms - flight.attempt.timestamp_ms) / 1000):
            answer = await lane.exchange.send(flight.attempt)
        if answer is None:
            now_ms = lane.clock.now_ms()
            told = lifecycle._final(sent, lifecycle.State.REJECTED, now_ms, "deadline", "too late")
            await lane.journal.update(told, at_ms=now_ms)
            lane.shared.watchers.changed(told, sent.state)
            return None
""",
        by="plain",
        seed=0,
    ),
    Defect(
        name="a caller's cancel cancels the attempt",
        file="scheduler.py",
        sound="""                return entry
            return await self._settled(key, waiter, timeout)
        finally:
""",
        broken="""                return entry
            return await self._settled(key, waiter, timeout)
        except asyncio.CancelledError:
            for task in asyncio.all_tasks():
                if task.get_name() == f"attempt {key}":
                    task.cancel()
            raise
        finally:
""",
        by="sidecar",
        seed=5,
    ),
    Defect(
        name="a submission is acknowledged before it is durable",
        file="sidecar/api.py",
        sound="""        entry, was_there = await self._scheduler.accept(
            self._scheduler.checked(
                asked.account, kind, asked.asset, asked.amount, **_options(asked)
            )
        )
""",
        broken="""        checked = self._scheduler.checked(
            asked.account, kind, asked.asset, asked.amount, **_options(asked)
        )
        keeping = asyncio.ensure_future(self._scheduler.accept(checked))
        keeping.add_done_callback(lambda kept: kept.cancelled() or kept.exception())
        entry, was_there = Entry(submission=checked), False
""",
        by="sidecar",
        seed=3,
    ),
    Defect(
        name="the token is not asked for",
        file="sidecar/security.py",
        sound='return None if is_right and scheme.lower() == "bearer" else WRONG_TOKEN',
        broken="return None",
        by="sidecar",
        seed=6,
    ),
    Defect(
        name="a long poll is cut off as a slow request",
        file="sidecar/connection.py",
        sound="""        self._disarm()
        self._phase = Phase.ANSWERING
""",
        broken="""        self._phase = Phase.ANSWERING
""",
        by="sidecar",
        seed=0,
    ),
    Defect(
        name="a bot's signature is not checked",
        file="sidecar/gateway/gateway.py",
        sound="if not caller.verifier.accepts(form.signature, form.payload):",
        broken="if False:",
        by="sidecar",
        seed=0,
    ),
    Defect(
        name="a bot's old request is taken",
        file="sidecar/gateway/parameters.py",
        sound="if now_ms - timestamp_ms > recv_window_ms:",
        broken="if False:",
        by="sidecar",
        seed=1,
    ),
    Defect(
        name="adoption gives one outcome to two clients",
        file="sidecar/gateway/adoption.py",
        sound="return self.take_key(min(equal.values(), key=lambda orphan: orphan.order).key)",
        broken="return min(equal.values(), key=lambda orphan: orphan.order)",
        by="sidecar",
        seed=18,
    ),
    Defect(
        name="what a connected client waits for is taken over",
        file="sidecar/gateway/desk.py",
        sound="""        stay.pending = self._start(self._scheduler.accept(asked))
""",
        broken="""        nothing = self._start(sleep(0))
        wish = stay.request.wish
        self._orphans.put(Orphan(key=key, wish=wish, order=stay.order, releasing=nothing))
        stay.pending = self._start(self._scheduler.accept(asked))
""",
        by="sidecar",
        seed=0,
    ),
    Defect(
        name="what is in the air when its client leaves is nobody's",
        file="sidecar/gateway/desk.py",
        sound="            if is_void(entry):\n                break\n",
        broken="            break\n",
        by="sidecar",
        seed=1,
    ),
    Defect(
        name="what is queued when its client leaves is sent all the same",
        file="sidecar/gateway/desk.py",
        sound="""                if seen is None:
                    entry = await self._scheduler.cancel(key)
                else:
                    entry, seen = await self._scheduler.take_back(seen), None
            except NotCancellable""",
        broken="""                entry = await self._scheduler.get(key)
            except NotCancellable""",
        by="sidecar",
        seed=38,
    ),
    Defect(
        name="who was told 504 cannot take over what became of it",
        file="sidecar/gateway/gateway.py",
        sound="stay.is_told = entry.is_final",
        broken="stay.is_told = True",
        by="sidecar",
        seed=1,
    ),
    Defect(
        name="the time for adoption is a quarter of what was promised",
        file="sidecar/gateway/adoption.py",
        sound="orphan.until_s = loop_s() + self._adopt_s",
        broken="orphan.until_s = loop_s() + self._adopt_s / 4",
        by="sidecar",
        seed=28,
    ),
    Defect(
        name="1 and 1.00 are two wishes",
        file="sidecar/gateway/stay.py",
        sound="amount=Decimal(self.loan.amount),",
        broken="amount=self.loan.amount,",
        by="sidecar",
        seed=1,
    ),
    Defect(
        name="two clients of one account share their keys",
        file="sidecar/gateway/desk.py",
        sound='key = f"{caller.name}:{own_key}"',
        broken='key = f"{caller.account}:{own_key}"',
        by="sidecar",
        seed=0,
    ),
    Defect(
        name="what was not sent in its client's patience stays queued",
        file="sidecar/gateway/desk.py",
        sound="if entry.state is State.QUEUED and self._holders[key] == 1:",
        broken="if False:",
        by="sidecar",
        seed=1,
    ),
    Defect(
        name="what may have been executed is told as not executed",
        file="sidecar/gateway/outcomes.py",
        sound='return replies.not_known("Timeout waiting for the exchange\'s answer.")',
        broken='return replies.not_now("Timeout.", retry_after_s)',
        by="sidecar",
        seed=1,
    ),
    Defect(
        name="what a dead sidecar left unfinished is nobody's",
        file="sidecar/gateway/desk.py",
        sound="in await left_behind(self._scheduler, clients, self._found_unfinished):",
        broken="in ():",
        by="sidecar",
        seed=1,
    ),
    Defect(
        name="what is queued when a sidecar is told to stop is not taken back",
        file="cli/serve.py",
        sound="    await sidecar.drained()",
        broken="    pass",
        by="sidecar",
        seed=44,
    ),
    Defect(
        name="what is decided before a restarted gateway looks is nobody's",
        file="sidecar/gateway/recovery.py",
        sound="for key in found_unfinished:",
        broken="for key in ():",
        by="sidecar",
        seed=300001,
    ),
    Defect(
        name="what was taken back as a sidecar stopped is told as in doubt",
        file="sidecar/gateway/desk.py",
        sound="if taken_back is None:",
        broken="if True:",
        by="sidecar",
        seed=104,
    ),
    Defect(
        name="sends although the journal did not keep the submission",
        file="sender.py",
        sound="""            await self._failed_to_write(flight, error)
            return None
""",
        broken="            return flight\n",
        by="tests/test_journal_failure.py",
        seed=0,
    ),
    Defect(
        name="a new submission starts before those that are on their way to the queue",
        file="intake.py",
        sound="if self._remote is not None or self._queueing[asked.account]:",
        broken="if self._remote is not None:",
        by="tests/test_sender.py",
        seed=0,
    ),
    Defect(
        name="a submission that was kept without its attempt is sent",
        file="sender.py",
        sound="if kept == queued:",
        broken="if False:",
        by="tests/test_sender.py",
        seed=0,
    ),
    Defect(
        name="what had the key of a new one is taken up by nobody",
        file="sender.py",
        sound="if not kept.is_final:  # while this was in the air it could not be taken up",
        broken="if False:",
        by="http",
        seed=1873,
    ),
)
