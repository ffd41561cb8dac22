"""The exchange's own SDK, as it comes: synchronous, so a thread a call."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

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
from . import Borrow

THREADS_MAX = 100


@asynccontextmanager
async def ready(venue: Venue) -> AsyncIterator[Borrow]:
    clients = {
        name: MarginTrading(
            config_rest_api=ConfigurationRestAPI(
                api_key=keys.api_key, api_secret=keys.secret, base_path=venue.base_url
            )
        ).rest_api
        for name, keys in venue.accounts.items()
    }

    def ask_for(ask: Ask) -> Told:
        try:
            response = clients[ask.account].margin_account_borrow_repay(
                asset=ask.asset, is_isolated="FALSE", amount=ask.amount, type="BORROW"
            )
            return confirmed(response.data().tran_id)
        except (BadRequestError, ClientError) as error:
            return refused(error.status_code)  # it is the code, for all its name
        except (TooManyRequestsError, RateLimitBanError):
            return refused(-1003)
        except Exception:  # it lets through what the libraries under it raise
            return UNKNOWN

    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(THREADS_MAX) as threads:

        async def borrow(ask: Ask) -> Told:
            return await loop.run_in_executor(threads, ask_for, ask)

        yield borrow
