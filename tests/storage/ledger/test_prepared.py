"""Statements that go to the driver by the shortest way: their values, their answers, and their errors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from storage.ledger.sql.database import Database, Tx
from storage.ledger.sql.engine import make_engine, parse_url
from storage.ledger.sql.inserts import insert
from storage.ledger.sql.prepared import Prepared
from storage.ledger.tables import job, reference, row, video
from tests.support.ledgers import OPTIONS, claim, emptied, finish, good_row, sheet, sql_ledger, started

KEYS = Prepared(
    sa.select(reference.c.key).where(reference.c.holder.in_(sa.bindparam("holders", expanding=True))).order_by("key")
)


@pytest.fixture
def database(sql_url: str) -> Iterator[Database]:
    """A running campaign of the rows a and b."""
    ledger = sql_ledger(sql_url)
    started(ledger, good_row("a"), good_row("b"))
    ledger.close()
    database = Database(make_engine(parse_url(sql_url)), OPTIONS)
    yield database
    database.close()


def test_truth_values_are_truth_values(database: Database) -> None:
    """What SQLite keeps as 0 and 1 is read as False and True, as from PostgreSQL, and what is not known as None."""
    nothing = sa.null().label("reused")
    asked = Prepared(sa.select(job.c.retired, ~job.c.retired, sa.type_coerce(nothing, sa.Boolean).label("n")).limit(1))
    record = database.read(lambda tx: tx.first(asked))
    assert record is not None
    assert [repr(value) for value in record.values()] == ["False", "True", "None"]


@pytest.mark.parametrize("count", [0, 1, 2, 150])
def test_a_list_has_any_length(database: Database, count: int) -> None:
    """A list is bound with as many placeholders as it has items, none too."""
    holders = [f"nobody-{n}" for n in range(count)]
    assert database.read(lambda tx: tx.rows(KEYS, holders=holders)) == []
    known = database.read(lambda tx: tx.scalar(sa.select(reference.c.holder).limit(1)))
    found = database.read(lambda tx: tx.rows(KEYS, holders=[*holders, known]))
    asked = sa.select(reference.c.key).where(reference.c.holder == known).order_by("key")
    assert [record["key"] for record in found] == database.read(lambda tx: list(tx.conn.scalars(asked)))


def test_what_is_not_given_is_an_error(database: Database) -> None:
    """A value that a statement needs is never taken for NULL."""
    moved = Prepared(sa.update(video).values(name=sa.bindparam("its_name")))
    database.write(lambda tx: tx.run(moved, its_name="x"), keep=False)
    with pytest.raises((KeyError, DBAPIError)):
        database.write(lambda tx: tx.run(moved))


def test_many_records_go_in_whole_or_not_at_all(database: Database) -> None:
    """Text of any kind, numbers and truth values come back as they went in; one bad record leaves none."""
    said = "tab\tline\nreturn\r back\\slash \\N \\. 'quote' \"double\" 火 \u2028"
    with_shot = sa.select(row).where(row.c.row_id == "a")

    def copy(tx: Tx, *ids: str) -> None:
        one = tx.first(with_shot)
        assert one is not None
        changes = {"shot": said, "problems": "", "not_before": 1.1, "retired": True}
        tx.insert(row, [{**one, **changes, "row_id": row_id} for row_id in ids])

    database.write(lambda tx: copy(tx, "x", "y"))
    kept = database.read(lambda tx: tx.first(sa.select(row).where(row.c.row_id == "y")))
    assert kept is not None
    assert [kept[name] for name in ("shot", "problems", "not_before", "retired")] == [said, "", 1.1, True]
    with pytest.raises(DBAPIError) as caught:
        database.write(lambda tx: copy(tx, "z", "y"))
    assert said not in str(caught.value)
    assert database.read(lambda tx: tx.first(sa.select(row).where(row.c.row_id == "z"))) is None


@pytest.mark.parametrize("count", [1, 2, 71])
@pytest.mark.parametrize("unless_there", [False, True])
def test_what_all_records_share_is_said_once(database: Database, count: int, unless_there: bool) -> None:
    """Each record has what is its own and what is everybody's, however many go into a statement."""

    def write(tx: Tx) -> int:
        one = tx.first(sa.select(row).where(row.c.row_id == "a"))
        assert one is not None
        own = ("row_id", "line", "shot", "position")
        common = {name: value for name, value in one.items() if name not in own}
        records = [
            {"row_id": f"r{n}", "line": n, "shot": f"火 {n}".encode(), "position": n * n} for n in range(1, count + 1)
        ]
        return insert(tx.conn, row, records, common=common, unless_there=unless_there)

    assert database.write(write) == count
    asked = sa.select(row).where(row.c.row_id.like("r%")).order_by(row.c.line)
    found = database.read(lambda tx: tx.rows(asked))
    places = [(record["row_id"], record["line"], record["shot"], record["position"]) for record in found]
    assert places == [(f"r{n}", n, f"火 {n}", n * n) for n in range(1, count + 1)]
    [common] = {(record["campaign_id"], record["video_id"], record["content"], record["retired"]) for record in found}
    assert all(value is not None for value in common)


@pytest.mark.parametrize("count", [1, 2, 65])
def test_a_record_may_have_one_value_of_its_own(database: Database, count: int) -> None:
    keys = [f"key-{n:03}" for n in range(count)]
    database.write(lambda tx: tx.insert(reference, [{"key": key} for key in keys], holder="x"))
    assert database.read(lambda tx: [record["key"] for record in tx.rows(KEYS, holders=["x"])]) == keys


@pytest.mark.parametrize("encoding", ["LATIN1", "UTF8"])
def test_texts_survive_a_client_of_another_encoding(
    shared_postgres: str, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    """What is handed over as UTF-8 is kept as that, whatever the environment says."""
    monkeypatch.setenv("PGCLIENTENCODING", encoding)
    ledger = sql_ledger(emptied(shared_postgres))
    started(ledger, good_row("a", prompt="é ü 火"), good_row("b", prompt="é"))
    lease = claim(ledger)
    assert lease.job is not None
    assert lease.job.request.prompt == "é ü 火"
    ledger.close()


def test_jobs_stand_in_the_order_of_the_manifest(sql_url: str) -> None:
    """Reused ones as well: the order decides which of two equal claims comes first, should they be queued again."""
    ledger = sql_ledger(sql_url)
    started(ledger, good_row("b"))
    finish(ledger)
    report = ledger.submit(sheet(good_row("a"), good_row("b"), good_row("c"), name="autumn"))
    ledger.close()
    assert report.jobs_reused == 1
    database = Database(make_engine(parse_url(sql_url)), OPTIONS)
    mine = sa.select(job.c.row_id).where(job.c.campaign_id == report.campaign_id).order_by(job.c.job_id)
    assert database.read(lambda tx: list(tx.conn.scalars(mine))) == ["a", "b", "c"]
    database.close()


def test_texts_handed_over_as_bytes_are_texts(database: Database) -> None:
    """SQLite would keep bytes as bytes, and find no text in them."""
    for column in (row.c.shot, job.c.job):
        changed = database.write(lambda tx, c=column: tx.run(sa.update(c.table).values({c.name: '{"火": 1}'.encode()})))
        found = database.read(lambda tx, c=column: tx.conn.scalars(sa.select(c).where(c.like('{"火%'))).all())
        assert found == ['{"火": 1}'] * changed


def test_a_verb_survives_connections_that_ended(shared_postgres: str) -> None:
    """The server ends every idle connection: the next verbs find out, and are done on new ones."""
    url = emptied(shared_postgres)
    ledger = sql_ledger(url)
    started(ledger, good_row("a"), good_row("b"))
    engine = make_engine(parse_url(url))
    with engine.begin() as connection:
        connection.execute(
            sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        )
    assert {claim(ledger).epoch, claim(ledger).epoch} == {1}
    engine.dispose()
    ledger.close()
