"""What a simulated exchange can be told: every number and every choice, in one place.

Where no official text decides how the real exchange behaves, the more awkward behaviour for a
client is the default and the other one is a choice here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

Range = tuple[float, float]

# Any fixed instant will do. This one is 20 s into its minute, so that a clock minute and a rolling
# minute differ from the start.
DEFAULT_EPOCH_MS = 1_700_000_000_000


@dataclass(frozen=True, kw_only=True)
class Options:
    """The simulator's options. What each is annotated with is its help, for a command line too."""

    seed: Annotated[int | str, "every draw follows from it: same seed, same run"] = 0
    port: Annotated[
        int | None, "port on 127.0.0.1 to serve HTTP on; 0: a free one; None: in process only"
    ] = 0
    epoch_ms: Annotated[int, "what the exchange's clock shows when the simulator starts"] = (
        DEFAULT_EPOCH_MS
    )
    clock_offset_ms: Annotated[float, "moves the exchange's clock against the loop's"] = 0

    # Borrow and repay.
    processing_ms: Annotated[float, "how long a borrow or repayment occupies its account"] = 100
    jitter: Annotated[float, "processing times are uniform in processing_ms * (1 ± jitter)"] = 0.05
    answers: Annotated[
        Literal["at_end", "at_once"],
        "reply when processing is over, or on acceptance while it goes on",
    ] = "at_end"
    lane: Annotated[
        Literal["account", "pair"],
        "what a running transaction blocks: the account, or one isolated pair of it",
    ] = "account"
    backend_timeout_ms: Annotated[
        float, "processing beyond this is answered with -1007, and goes on"
    ] = 10_000
    order_ms: Annotated[Range, "how long an order that borrows or repays blocks"] = (100, 500)
    extra_fields: Annotated[bool, "answers carry fields beside tranId, as live ones do"] = True
    first_tran_id: Annotated[
        int, "transaction ids start here, beyond 2^53 as the real ones may"
    ] = 9_100_000_000_000_001

    # Limits.
    window: Annotated[
        Literal["rolling", "fixed"], "weights count over any 60 s, or over clock minutes"
    ] = "rolling"
    uid_weight_limit: Annotated[int, "a minute, an account, an endpoint"] = 180_000
    ip_weight_limit: Annotated[int, "a minute, an address, an endpoint"] = 12_000
    api_weight_limit: Annotated[int, "a minute, an address, all of /api together"] = 6_000
    weights: Annotated[
        Mapping[str, int], 'weights that differ from the table, as {"POST /path": weight}'
    ] = field(default_factory=dict)
    charge_refusals: Annotated[bool, "requests answered with a refusal weigh too"] = True
    headers_on_refusals: Annotated[bool, "refusals carry the used-weight headers too"] = True
    retry_after: Annotated[bool, "429 and 418 carry Retry-After"] = True
    refusals_before_ban: Annotated[int, "this many 429s within a minute end in a ban (418)"] = 10
    ban_ms: Annotated[Range, "the first ban; each further one doubles, to"] = (120_000, 259_200_000)

    # Records.
    record_lag_ms: Annotated[Range, "from booking until a record can be seen"] = (50, 500)
    pending_ms: Annotated[Range, "how long a record that can be seen says PENDING"] = (0, 0)
    record_timestamp: Annotated[
        Literal["started", "finished"], "which end of the processing a record is dated by"
    ] = "started"
    history_max: Annotated[
        int, "records an account and interest charges kept; the oldest go first"
    ] = 100_000
    arrivals_max: Annotated[int, "arrivals the ledger keeps; the oldest half goes first"] = (
        2_000_000
    )

    # Money. All decimal strings.
    interest_rate: Annotated[str, "of the principal, an hour"] = "0.00001"
    interest: Annotated[Literal["hourly", "continuous", "none"], "when interest is added"] = (
        "hourly"
    )
    inventory: Annotated[str, "what can be lent of an asset not set otherwise"] = "1000000000000"
    inventory_critical: Annotated[str, "below this every borrow is refused, whatever its size"] = (
        "0"
    )
    credit: Annotated[str, "what an account may owe of an asset not set otherwise"] = "1000000000"
    balance: Annotated[str, "what an account holds of an asset not set otherwise"] = "1000000000"
    borrow_min: Annotated[str, "smallest borrow"] = "0"
    repay_min: Annotated[str, "smallest repayment"] = "0"
    debt_min: Annotated[str, "a repayment may leave nothing, or at least this"] = "0.000001"
    assets: Annotated[tuple[str, ...], "assets known from the start"] = (
        "BTC",
        "ETH",
        "BNB",
        "USDT",
        "USDC",
        "FDUSD",
        "SOL",
        "XRP",
        "ADA",
        "DOGE",
        "LTC",
        "LINK",
    )
    quotes: Annotated[tuple[str, ...], "assets that others are priced in"] = (
        "USDT",
        "USDC",
        "FDUSD",
        "BTC",
        "BNB",
    )

    # The way to the exchange, for the in-process transport.
    round_trip_ms: Annotated[Range, "time on the wire, both ways together"] = (1, 3)
    timeout_s: Annotated[float, "when the in-process transport gives up on a reply"] = 15.0

    # What the timed faults do; see faults.py.
    late_ms: Annotated[Range, "late: extra delay of the reply"] = (12_000, 12_000)
    late_execution_ms: Annotated[Range, "late_execution: extra time on the way"] = (0, 90_000)
    hidden_record_ms: Annotated[Range, "hidden_record: from booking to visible"] = (5_000, 14_900)
    pending_record_ms: Annotated[Range, "pending_record: how long it says PENDING"] = (
        30_000,
        60_000,
    )
    slow_ms: Annotated[Range, "slow: processing time"] = (1_000, 9_900)
    fault_status: Annotated[
        Mapping[int, int], "HTTP statuses of codes that differ from the table, as {code: status}"
    ] = field(default_factory=dict)
