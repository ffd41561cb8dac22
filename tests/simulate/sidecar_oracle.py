"""The judge of what a sidecar's callers were told, held against the exchange's ledger.

What became of submissions is judged by `oracle`, as in every life. Here each answer is.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from scheduler import Entry, State
from scheduler.simulator import Simulator
from scheduler.simulator.ledger import Transaction

from .callers import DONE, GAVE_UP, NOTHING, Asking, SidecarStory, told_by
from .oracle import DID_NOT_HAPPEN
from .sidecar_plan import NATIVE, OWNER, TRIES_MAX, Want

STRANGERS_HEAR = {
    "no token": 401,
    "wrong token": 401,
    "foreign host": 403,
    "foreign origin": 403,
    "unknown key": 401,
    "changed after it was signed": 400,
    "signed by another": 400,
    "stale": 400,
}
LANDING_MAX_S = 1.5
ANSWERED_WITHIN_S = 1.5
"""Beside what may be waited for: the way there and back, the journal, advice after a refusal."""
NOTICED_WITHIN_S = 1.0
"""That a client has left: the way, and the journal's writes before it can be taken back."""
READS_CLOCK_S = 20.0
"""A person's decision waits for the exchange's clock, which may have to be asked more than once."""


def told_wrongly(story: SidecarStory, simulator: Simulator) -> list[str]:
    """Every answer that was wrong, in words."""
    judge = _Judge(story, simulator)
    return [
        *judge.strangers(),
        *judge.loans(),
        *judge.shared(),
        *judge.refusals(),
        *judge.doubts(),
        *judge.unheard(),
        *judge.natives(),
        *judge.in_time(),
        *judge.taken_back(),
        *judge.ends(),
    ]


@dataclass(frozen=True, slots=True)
class _Wish:
    """What makes two requests equal."""

    client: str
    account: str
    kind: str
    asset: str
    symbol: str | None
    amount: Decimal


class _Judge:
    def __init__(self, story: SidecarStory, simulator: Simulator) -> None:
        self._story = story
        self._plan = story.plan
        self._ledger = simulator.ledger
        self._entries = story.kept or {}
        self._loans = [a for a in story.askings if a.what == "loan"]
        self._booked: dict[str, Transaction] = {}
        for entry in self._entries.values():
            booked = None if entry.tran_id is None else self._ledger.find(entry.tran_id)
            if booked is not None and entry.state is State.CONFIRMED:
                self._booked[entry.key] = booked
        self._sent_s: dict[str, list[float]] = defaultdict(list)
        self._decided_s: dict[str, float] = {}
        """When each outcome was handed to the journal, which may have it from then on."""
        for change in story.changes:
            if change.entry.state is State.SENT:
                self._sent_s[change.entry.key].append(change.began_s)
            if not change.entry.is_final:
                self._decided_s.pop(change.entry.key, None)
            else:  # what comes after that is a remark
                self._decided_s.setdefault(change.entry.key, change.began_s)

    def strangers(self) -> Iterator[str]:
        for asking in self._story.askings:
            due = STRANGERS_HEAR.get(asking.what)
            if due is None or asking.answer is None or asking.answer.status in {408, 503}:
                continue
            if asking.answer.status != due:
                yield f"{asking.what} was answered {asking.answer.status}"
        for entry in self._entries.values():
            if entry.requested == "13":
                yield f"{entry.key} was taken from a stranger"

    # Bots

    def loans(self) -> Iterator[str]:
        """A told transaction is in the ledger, and what was asked for."""
        for asking in self._loans:
            if asking.tran_id is None:
                continue
            want = self._want(asking)
            loan = self._ledger.find(asking.tran_id)
            entry = self._entry(asking)
            if loan is None or _asked(want) != _given(loan):
                yield f"{_who(want)} wanted {_asked(want)} and was told {asking.tran_id}: {loan}"
            elif entry is None or entry.tran_id != asking.tran_id:
                yield f"{_who(want)} was told {asking.tran_id} for {entry!r}"

    def shared(self) -> Iterator[str]:
        """Each of them is told to one want, or to those that said one key."""
        told: defaultdict[int, set[str]] = defaultdict(set)
        for asking in self._loans:
            if asking.tran_id is not None:
                want = self._want(asking)
                whose = f"number {asking.want}" if want.key is None else f"{_who(want)}:{want.key}"
                told[asking.tran_id].add(whose)
        for tran_id, several in told.items():
            if len(several) > 1:
                yield f"{tran_id} was told to {sorted(several)}"

    def refusals(self) -> Iterator[str]:
        """What a client was told did not happen, does not."""
        for asking in self._loans:
            answer, entry = asking.answer, self._entry(asking)
            if answer is None or answer.status == 200 or answer.status == 504:
                continue
            is_promise = answer.status in {400, 429} or b"nothing was executed" in answer.body
            booked = None if entry is None or entry.key not in self._booked else entry
            if is_promise and booked and not self._was_kept_for_another(asking, booked):
                yield f"{booked.key} was told HTTP {answer.status}, and it is {booked.tran_id}"
            if answer.status == 429 and "retry-after" not in answer.headers:
                yield f"{_who(self._want(asking))} was told 429 without Retry-After"
            if answer.status not in {400, 401, 408, 429, 503}:
                yield f"{_who(self._want(asking))} was told HTTP {answer.status}"
            if answer.status == 400 and asking.content["code"] not in {-1021, -1100}:
                yield from self._word_for_word(asking, entry)

    def _was_kept_for_another(self, refused: Asking, entry: Entry) -> bool:
        """Whether nothing was kept for this request, and it was for another one with its key."""
        kept_s = self._story.durable_s[entry.key]
        return kept_s > refused.began_s and any(
            other.began_s <= kept_s and self._key(other) == entry.key
            for other in self._loans
            if other is not refused and (other.answer is None or other.answer.status == 200)
        )

    def _word_for_word(self, asking: Asking, entry: Entry | None) -> Iterator[str]:
        told = asking.content
        if entry is None or (entry.code, entry.message) != (told["code"], told["msg"]):
            yield f"{_who(self._want(asking))} was told {told}, and it is {entry!r}"

    def doubts(self) -> Iterator[str]:
        """504 is said of what may have been executed alone."""
        for asking in self._loans:
            if asking.answer is None or asking.answer.status != 504:
                continue
            entry = self._entry(asking)
            was_sent = entry is not None and any(
                sent_s <= asking.ended_s for sent_s in self._sent_s[entry.key]
            )
            # What comes as the sidecar begins to stop may be queued, or just so no more.
            is_late = any(
                asking.began_s >= stop_s - NOTICED_WITHIN_S and asking.ended_s >= stop_s
                for stop_s in self._story.stops_s
            )
            if not was_sent and not is_late:
                yield f"{_who(self._want(asking))} was told 504, and nothing was sent"

    def unheard(self) -> Iterator[str]:
        """A loan of a bot without a key that no bot was told of has a reason: its answer was on its
        way, its client gave up or came too late, or the sidecar ended in between."""
        told = {asking.tran_id for asking in self._loans}
        unheard: Counter[_Wish] = Counter()
        for key, loan in self._booked.items():
            client, made_up, own = key.partition(":")
            excuses = (
                not made_up or not own.startswith("gw-"),
                loan.tran_id in told,
                loan.tran_id in self._story.sent_ids,
                self._ended_meanwhile(key),
            )
            if not any(excuses):
                unheard[_Wish(client, *_given(loan))] += 1
        for wish, count in unheard.items():
            left = sum(
                self._may_be_left(number)
                for number, want in enumerate(self._plan.wants)
                if want.key is None and _wish(want) == wish
            )
            if count > left:
                yield f"{count} loans of {wish} that nobody was told of, and {left} may be so"

    def _ended_meanwhile(self, key: str) -> bool:
        """Whether the sidecar ended when it was decided and could still have been taken over."""
        decided_s = self._decided_s.get(key, 0.0)
        keeps_s = self._plan.adopt_s + self._plan.patience_s + LANDING_MAX_S
        return any(0 <= death_s - decided_s <= keeps_s for death_s in self._story.deaths_s)

    def _may_be_left(self, number: int) -> int:
        """How many loans a want may have left to nobody: by giving up, by going in a way that the
        sidecar cannot notice, or by coming back too late."""
        mine = [asking for asking in self._loans if asking.want == number]
        gave_up = self._story.ends.get(number) == GAVE_UP
        return gave_up + sum(
            asking.is_silent or self._came_late(asking, mine[place + 1 :])
            for place, asking in enumerate(mine)
        )

    def _came_late(self, left: Asking, later: list[Asking]) -> bool:
        """Whether the next request that was surely looked at came after the time for adoption; the
        last, if it is sure of none."""
        handled = (
            a
            for a in later
            if a.answer is not None and (told_by(a) is not NOTHING or a.answer.status == 504)
        )
        last_s = later[-1].began_s if later else left.ended_s
        back_s = next((asking.began_s for asking in handled), last_s)
        return back_s - left.ended_s + NOTICED_WITHIN_S >= self._plan.adopt_s

    # Natives

    def natives(self) -> Iterator[str]:
        for asking in self._story.askings:
            if asking.want < 0 or self._plan.wants[asking.want].client != NATIVE:
                continue
            want, answer = self._want(asking), asking.answer
            if answer is None:
                continue
            if answer.status not in {200, 202, 400, 404, 408, 409, 429, 503}:
                yield f"{want.key}: {asking.what} was answered {answer.status}"
            if answer.status in {200, 202}:
                yield from self._told_of_entry(asking, want)
            elif asking.what == "another" and answer.status not in {408, 429, 503}:
                if answer.status != 409 or asking.content["code"] != "key_reused":
                    yield f"{want.key} was asked for otherwise, and answered {answer.status}"
            elif answer.status == 400 or (asking.what == "show" and answer.status == 404):
                yield f"{want.key}: {asking.what} was answered {asking.content}"
            elif asking.what == "submit" and answer.status in {409, 429}:
                was_kept_s = self._story.durable_s.get(str(want.key))
                if answer.status == 409 or (was_kept_s or asking.ended_s) < asking.began_s:
                    yield f"{want.key} was answered {asking.content}"

    def _told_of_entry(self, asking: Asking, want: Want) -> Iterator[str]:
        told, key = asking.content, str(want.key)
        entry = self._entries.get(key)
        durable_s = self._story.durable_s.get(key)
        if entry is None:
            yield f"{key}: {asking.what} was answered 20x, and the journal does not have it"
            return
        if durable_s is None or asking.ended_s < durable_s:
            yield f"{key} was acknowledged before it was durable"
        if asking.what == "another":
            yield f"{key} was asked for otherwise, and taken for the same"
        if told["key"] != key or told["account"] != want.job.account:
            yield f"{key} was told of {told['key']}"
        if not told["is_final"]:
            return
        # A reader sees what is committed, now and then before its writer hears of that.
        if asking.ended_s < self._decided_s.get(key, asking.ended_s):
            yield f"{key} was told {told['state']} before that was durable"
        if (told["state"], told["tran_id"]) != (entry.state, entry.tran_id):
            yield f"{key} was told {told['state']} {told['tran_id']}, and is {entry!r}"
        if told["state"] in DID_NOT_HAPPEN and key in self._booked:
            yield f"{key} was told {told['state']}, and it is {entry.tran_id}"

    # All

    def in_time(self) -> Iterator[str]:
        """Who stays on a sound connection is answered, and in time."""
        for asking in self._story.askings:
            if asking.is_struck or asking.has_left or not asking.ended_s:
                continue  # the last: a person's, who was still asking when the life was over
            bound_s = self._bound_s(asking)
            if asking.ended_s - asking.began_s > bound_s:
                yield f"{asking} took longer than {bound_s} s"
            elif asking.answer is None and not self._ended_during(asking):
                yield f"{asking} broke off"
            elif asking.answer is not None and asking.answer.status == 408:
                yield f"{asking} was whole at once, and is said to be slow"

    def _bound_s(self, asking: Asking) -> float:
        if asking.what == "loan":
            patience_s = self._plan.patience_s
            return patience_s + min(LANDING_MAX_S, 0.2 * patience_s) + ANSWERED_WITHIN_S
        waits_s = READS_CLOCK_S if asking.what == "resolve" else 0.0
        if asking.what in {"submit", "another"}:
            waits_s = self._want(asking).wait_s
        if asking.what == "show":
            waits_s = 10 + asking.want % 3 * 20
        return waits_s + ANSWERED_WITHIN_S

    def _ended_during(self, asking: Asking) -> bool:
        return any(asking.began_s - 1 <= s <= asking.ended_s + 1 for s in self._story.deaths_s)

    def taken_back(self) -> Iterator[str]:
        """What is queued when its client leaves is not sent, unless somebody asks for it again."""
        for number, want in enumerate(self._plan.wants):
            entry = self._entries.get(f"{_who(want)}:{want.key}")
            if want.client == NATIVE or entry is None:
                continue
            mine = [asking for asking in self._loans if asking.want == number]
            for left, back in zip(mine, [*mine[1:], None], strict=True):
                back_s = self._story.virtual_s if back is None else back.began_s
                # After a restart only a repeat of the key finds it.
                if left.is_struck or left.is_silent or not left.has_left or self._ended_by(back_s):
                    continue
                for sent_s in self._sent_s[entry.key]:
                    if left.ended_s + NOTICED_WITHIN_S < sent_s < back_s:
                        yield f"{entry.key} was sent at {sent_s:.3f} s, and its client had left"

    def _ended_by(self, at_s: float) -> bool:
        return any(death_s <= at_s for death_s in self._story.deaths_s)

    def ends(self) -> Iterator[str]:
        """Everybody who does not give up hears what became of it."""
        for number, want in enumerate(self._plan.wants):
            end = self._story.ends.get(number)
            if end is None:
                yield f"{_who(want)} still waits for number {number}"
            elif end == GAVE_UP and want.tries == TRIES_MAX:
                yield f"{_who(want)} asked {want.tries} times for number {number} in vain"
            elif want.client == NATIVE and end == DONE and str(want.key) not in self._entries:
                yield f"{want.key} is lost"

    def _want(self, asking: Asking) -> Want:
        return self._plan.wants[asking.want]

    def _key(self, asking: Asking) -> str | None:
        """The key that its client chose."""
        want = self._want(asking)
        return None if want.key is None else f"{_who(want)}:{want.key}"

    def _entry(self, asking: Asking) -> Entry | None:
        """The submission that an answer names."""
        if asking.answer is None:
            return None
        key = asking.answer.headers.get("x-scheduler-key")
        return None if key is None else self._entries.get(f"{_who(self._want(asking))}:{key}")


def _who(want: Want) -> str:
    return want.job.account if want.client == OWNER else want.client


def _asked(want: Want) -> tuple[str, str, str, str | None, Decimal]:
    job = want.job
    return job.account, job.kind, job.asset, job.symbol, Decimal(job.amount)


def _given(loan: Transaction) -> tuple[str, str, str, str | None, Decimal]:
    return loan.account, loan.kind, loan.asset, loan.symbol, loan.amount


def _wish(want: Want) -> _Wish:
    return _Wish(_who(want), *_asked(want))
