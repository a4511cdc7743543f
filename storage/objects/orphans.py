"""Objects that nothing points to: what attempts that lost their lease, or died before the commit, left behind.

Two streams in key order are merged, so that a bucket of millions takes no memory. The listing is the older of the
two only in one direction that matters: an object younger than the age guard is never named, because its commit may
still be on its way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from schemas.errors import InvalidInput, Permanent
from storage.objects.layout import COLLECTED
from storage.objects.protocol import ObjectStore, StoredObject
from storage.objects.verified import REUSE_WITHIN_S

MIN_AGE_S = 2 * REUSE_WITHIN_S
"""No younger object is ever an orphan: a day, in seconds."""


def find_orphans(
    store: ObjectStore, ledger_keys: Iterable[str], *, older_than_s: float, now: float
) -> Iterator[StoredObject]:
    """The objects under COLLECTED prefixes that are not among `ledger_keys` and were written before
    `now - older_than_s` (seconds since the epoch on the store's clock), in key order.

    `ledger_keys` is strictly ascending by code point, as Python compares text, whatever the database's collation.
    Nothing is deleted here.

    Raises:
        InvalidInput: `older_than_s` is below MIN_AGE_S.
        Permanent: either stream is out of order, so that no statement about orphans can be trusted.
    """
    if older_than_s < MIN_AGE_S:
        raise InvalidInput(
            f"orphans older than {older_than_s:.0f} s were asked for; {MIN_AGE_S:.0f} s is the least",
            fix="let objects rest for a day before they are collected",
        )
    return _unreferenced(_ascending(ledger_keys, "ledger's keys"), _collected(store), now - older_than_s)


def _unreferenced(
    referenced: Iterator[str], stored: Iterator[StoredObject], written_before: float
) -> Iterator[StoredObject]:
    reference = next(referenced, None)
    for found in stored:
        while reference is not None and reference < found.key:
            reference = next(referenced, None)
        if reference != found.key and found.modified_at < written_before:
            yield found


def _collected(store: ObjectStore) -> Iterator[StoredObject]:
    last = ""
    for prefix in COLLECTED:
        for found in store.list(prefix):
            _require_order(last, found.key, "store's listing")
            last = found.key
            yield found


def _ascending(keys: Iterable[str], what: str) -> Iterator[str]:
    last = ""
    for key in keys:
        _require_order(last, key, what)
        last = key
        yield key


def _require_order(last: str, key: str, what: str) -> None:
    if key <= last:
        raise Permanent(
            f"the {what} are out of order: {key!r} came after {last!r}; nothing can be called an orphan",
            fix='read the ledger\'s keys in code point order (PostgreSQL: COLLATE "C")',
        )
