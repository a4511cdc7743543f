"""A signal whose handler raises ends a transaction between any two instructions: nothing stays locked by it."""

from __future__ import annotations

import dis
import gc
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from types import FrameType
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event, make_url

from schemas.lease import Lease, LeaseKind
from schemas.states import Ending
from storage.ledger.sql.database import Database, Tx
from storage.ledger.sql.engine import make_engine, parse_url, to_write
from tests.support.ledgers import OPTIONS, claim, failure, good_row, sql_ledger, started, worker

pytestmark = pytest.mark.timeout(120)

TABLE = sa.Table("tried", sa.MetaData(), sa.Column("at", sa.Integer), sa.Column("half", sa.Integer))

LOCKED_S = 3.0
"""SQLite waits for five seconds, and PostgreSQL for ever; a server may take a moment to see that a line is closed."""

STRIDE = {"sqlite": 1, "postgresql": 7}
"""Of the instructions, which ones are tried: a connection to a server takes its time."""


class Struck(BaseException):
    """As `StopNow`: no `except Exception` on the way holds it up."""


HEARS = frozenset({"RESUME", "JUMP_BACKWARD", "CALL", "CALL_FUNCTION_EX", "CALL_KW"})
"""After these CPython looks for signals (`CHECK_EVAL_BREAKER`); between others none is handled."""


class Striker:
    """Raises `Struck` where a signal's handler is called for time number `at` in whatever runs under it."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.passed = 0
        self._last: dict[FrameType, str] = {}

    def __call__(self, frame: FrameType, what: str, _: Any) -> Callable[..., Any] | None:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if what == "opcode":
            heard = self._last.get(frame, "") in HEARS
            self._last[frame] = dis.opname[frame.f_code.co_code[frame.f_lasti]]
            self.passed += heard
            if heard and self.passed == self.at:
                raise Struck
        return self


def strike(work: Callable[[], object], striker: Striker) -> Struck | None:
    """Run it; what ended it, with its traceback, and so with every frame that it went through."""
    before = sys.gettrace()
    gc.disable()  # what is raised in a finaliser is raised nowhere
    sys.settrace(striker)
    try:
        work()
    except Struck as struck:
        return struck
    finally:
        sys.settrace(before)
        gc.enable()
    return None


@pytest.fixture
def url(sql_url: str) -> Iterator[str]:
    engine = make_engine(parse_url(sql_url))
    TABLE.create(engine)
    yield sql_url
    TABLE.drop(engine)
    engine.dispose()


def another(url: str) -> sa.Engine:
    return make_engine(parse_url(url))


def write(database: Database, number: int) -> None:
    def both(tx: Tx) -> None:
        tx.insert(TABLE, [{"at": number, "half": 1}])
        tx.insert(TABLE, [{"at": number, "half": 2}])

    database.write(both)


def found_at_once(other: sa.Engine, number: int) -> int:
    """How many are there, in a transaction that could write; it waits for nobody."""
    began = time.monotonic()
    with other.connect() as connection, to_write(connection).begin():
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("LOCK TABLE tried IN ACCESS EXCLUSIVE MODE"))
        found = connection.scalar(sa.select(sa.func.count()).where(TABLE.c.at == number))
    assert time.monotonic() - began < LOCKED_S
    return int(found or 0)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of a connection that was just being opened
@pytest.mark.filterwarnings("ignore:transaction already deassociated")  # of a connection that is being given up
def test_whatever_instruction_is_the_last(url: str) -> None:
    """Both of a transaction's writes are there or neither, and another connection writes at once."""
    other = another(url)

    ended = 0
    for at in count(1, STRIDE[other.dialect.name]):
        database = Database(make_engine(parse_url(url)), OPTIONS)
        write(database, -at)
        striker = Striker(at)
        held = strike(partial(write, database, at), striker)
        found = found_at_once(other, at)
        assert found in (0, 2)
        ended += held is not None and found == 0
        database.close()
        if striker.passed < at:
            break
    assert (held, found) == (None, 2)
    assert ended > 10
    other.dispose()
    del held
    gc.collect()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore:transaction already deassociated")
def test_a_claim_broken_off_leaves_no_lease(sql_url: str) -> None:
    """Wherever the signal comes, also after the commit: who does not hear of a lease does not keep others waiting."""
    other = sql_ledger(sql_url)
    campaign_id = started(other, good_row("a"))
    for at in count(1, STRIDE[make_url(sql_url).get_backend_name()]):
        ledger = sql_ledger(sql_url)
        ledger.release(claim(ledger), failure(Ending.CANCELLED))  # its statements are compiled by then
        striker = Striker(at)
        heard: list[Lease] = []
        # Without a frame of this test's around it: what a caller does with its lease is the caller's.
        asking = map(partial(ledger.claim, kind=LeaseKind.RENDER, ttl=60), [worker()])
        held = strike(partial(heard.extend, asking), striker)
        assert len(other.workers(campaign_id)) == len(heard) == (held is None)
        for lease in heard:  # a finaliser swallowed the strike, or there was none
            ledger.release(lease, failure(Ending.CANCELLED))
        ledger.close()
        if striker.passed < at:
            break
    endings = Counter(one.ending for one in other.explain(campaign_id, "a").attempts)
    assert endings.keys() == {Ending.PREEMPTED, Ending.CANCELLED}
    other.close()
    del held
    gc.collect()


def test_an_answer_that_nobody_read(url: str) -> None:
    """SQLAlchemy gives an interrupted connection up with its cursor open: closed, it must not go on holding locks."""
    database, other = Database(make_engine(parse_url(url)), OPTIONS), another(url)
    write(database, 1)

    def strike_it(*_: object) -> None:
        raise Struck

    def asked(tx: Tx) -> None:
        tx.insert(TABLE, [{"at": 2, "half": 1}])
        event.listen(database.engine, "after_cursor_execute", strike_it)
        tx.rows(sa.select(TABLE.c.half))

    with pytest.raises(Struck) as held:
        database.write(asked)
    assert found_at_once(other, 2) == 0
    assert held.tb
    other.dispose()
    database.close()
