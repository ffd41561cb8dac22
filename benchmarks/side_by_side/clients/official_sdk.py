"""The exchange's own SDK, as it comes: synchronous, so a thread a call."""

import asyncio
from collections.abc import MutableSequence, Sequence
from concurrent.futures import ThreadPoolExecutor

from binance_common.errors import (
    BadRequestError,
    ClientError,
    RateLimitBanError,
    TooManyRequestsError,
)
from binance_sdk_margin_trading.margin_trading import (
    ConfigurationRestAPI,
    MarginTrading,
)

from ..told import UNKNOWN, Told, confirmed, refused
from ..venue import Venue
from ..work import Ask

THREADS_MAX = 100


async def run(venue: Venue, asks: Sequence[Ask], told: MutableSequence[Told | None]) -> None:
    clients = {
        name: MarginTrading(
            config_rest_api=ConfigurationRestAPI(
                api_key=keys.api_key, api_secret=keys.secret, base_path=venue.base_url
            )
        ).rest_api
        for name, keys in venue.accounts.items()
    }

    def borrow(number: int) -> None:
        ask = asks[number]
        try:
            response = clients[ask.account].margin_account_borrow_repay(
                asset=ask.asset, is_isolated="FALSE", amount=ask.amount, type="BORROW"
            )
            told[number] = confirmed(response.data().tran_id)
        except (BadRequestError, ClientError) as error:
            told[number] = refused(error.status_code)  # it is the code, for all its name
        except (TooManyRequestsError, RateLimitBanError):
            told[number] = refused(-1003)
        except Exception:  # it lets through what the libraries under it raise
            told[number] = UNKNOWN

    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(THREADS_MAX) as threads:
        calls = (loop.run_in_executor(threads, borrow, number) for number in range(len(asks)))
        await asyncio.gather(*calls)
