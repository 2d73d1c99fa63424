"""Step 1 of 7: the clients as a process knows them: read from SQL, trusted for less than a second; and their keys."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from gateway.admission.client_record import ALGORITHMS
from gateway.admission.jwks import RemoteKeys, read_key_set
from gateway.admission.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.admission.client_record import ClientRecord
    from gateway.admission.client_store import ClientStore
    from gateway.admission.jwks_fetch import KeySetFetcher
    from gateway.admission.tokens import VerifyingKey

MAX_KNOWN = 1_000


class Clients:
    """What is known of clients.

    Args:
        store: The truth.
        fetcher: Gets key sets that are at a URL.
        cache_seconds: How long a record is trusted, counted from when the look at it began; 0 to 1.
        monotonic: Seconds.
    """

    def __init__(
        self,
        store: ClientStore,
        fetcher: KeySetFetcher,
        *,
        cache_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.store = store
        self._fetcher = fetcher
        self._seconds = cache_seconds
        self._monotonic = monotonic
        self._known: OrderedDict[str, Recent[ClientRecord | None]] = OrderedDict()
        self._sets: OrderedDict[tuple[str, str], RemoteKeys] = OrderedDict()

    async def find(self, client_id: str) -> ClientRecord | None:
        """The client, whatever its state; None if there is none.

        Raises:
            StoreUnavailable: It cannot be read.
        """
        recent = self._known.get(client_id)
        if recent is None:
            recent = Recent(lambda: self.store.find(client_id), self._seconds, self._monotonic)
            self._known[client_id] = recent
            if len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)  # the oldest; it is read anew when it is next asked for
        record = await recent.get()
        if record is None:  # made-up IDs must not push good ones out
            self._known.pop(client_id, None)
        return record

    async def find_key(self, client: ClientRecord, key_id: str) -> VerifyingKey | None:
        """The client's key of this ``kid``; None if it has none.

        Raises:
            StoreUnavailable: Its key set is at a URL and cannot be had.
        """
        if client.jwks is not None:
            return read_key_set(client.jwks, ALGORITHMS).get(key_id)
        name = (client.client_id, client.jwks_url)
        keys = self._sets.get(name)
        if keys is None:
            keys = RemoteKeys(
                client.jwks_url,
                ALGORITHMS,
                self._fetcher,
                name=client.client_id,
                of_client=True,
                now=self._monotonic,
            )
            self._sets[name] = keys
            if len(self._sets) > MAX_KNOWN:
                self._sets.popitem(last=False)
        return await keys.find(key_id)
