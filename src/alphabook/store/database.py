"""The SQLite file under the candle store: schema, opening, transactions, and errors in plain words.

Choices, each with its reason:

- ``WITHOUT ROWID``, key ``(series, open_time)``: rows lie on disk in the order they are read, and the
  key is stored once instead of twice.
- ``journal_mode = WAL``: a reader never waits for the download that writes beside it.
- ``synchronous = FULL``: in WAL mode the default would let a power cut take the last transactions; one
  flush per upsert costs little next to the request that brought the candles.
- ``busy_timeout``: a second process waits for its turn instead of failing.
- ``application_id`` and ``user_version``: another program's database, or a newer alphabook's, is
  refused before anything is written to it.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from ..errors import StoreError

APPLICATION_ID = 0x414C5048  # "ALPH"
SCHEMA_VERSION = 1
BUSY_SECONDS = 30.0

SCHEMA = """
CREATE TABLE series (
  id INTEGER PRIMARY KEY, venue TEXT NOT NULL, symbol TEXT NOT NULL, interval TEXT NOT NULL,
  UNIQUE (venue, symbol, interval)
);
CREATE TABLE candles (
  series INTEGER NOT NULL REFERENCES series (id), open_time INTEGER NOT NULL,
  open REAL NOT NULL, high REAL NOT NULL, low REAL NOT NULL, close REAL NOT NULL,
  volume REAL NOT NULL, turnover REAL,
  PRIMARY KEY (series, open_time)
) WITHOUT ROWID;
CREATE TABLE coverage (
  series INTEGER NOT NULL REFERENCES series (id), start INTEGER NOT NULL, stop INTEGER NOT NULL CHECK (start < stop),
  PRIMARY KEY (series, start)
) WITHOUT ROWID;
"""


class Database:
    """One connection to the store's file, shared by the threads of a process behind one lock.

    A file that does not exist yet is created by the first transaction, not before: a command that
    fails early leaves nothing behind.

    Raises:
        StoreError: the file cannot be opened, is not a candle store, or is a newer alphabook's.
    """

    def __init__(self, path: str | Path, *, read_only: bool = False) -> None:
        self.path = Path(path)
        self.read_only = read_only
        self._lock = threading.RLock()
        self._depth = 0
        self._connection: sqlite3.Connection | None = None
        self._closed = False
        with self.errors(), self._system_errors():
            if self._exists():
                self._connect()
            elif not read_only:
                self._require_writable_folder()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of the block's writes, or none; a transaction inside a transaction joins the outer one.

        Raises:
            StoreError: the store cannot be written, or is closed.
        """
        with self._lock, self.errors():
            self._require_open()
            if self.read_only:
                raise StoreError(f"{self.path} was opened read-only; open it with CandleStore(path) to write")
            connection = self._connection or self._connect()
            if self._depth == 0:
                connection.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield connection
            except BaseException:
                self._depth -= 1
                if self._depth == 0:
                    connection.rollback()
                raise
            self._depth -= 1
            if self._depth == 0:
                try:
                    connection.commit()
                except BaseException:  # a full disk: leave no half-open transaction behind
                    connection.rollback()
                    raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection | None]:
        """The connection, for reading one consistent state; ``None`` while there is no file.

        Raises:
            StoreError: the store cannot be read, or is closed.
        """
        with self._lock, self.errors():
            self._require_open()
            if self._connection is None and self._exists():
                self._connect()
            connection = self._connection
            if connection is None or connection.in_transaction:
                yield connection
                return
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.rollback()

    def close(self) -> None:
        """Close the connection; a second call does nothing."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection, self._closed = None, True

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn SQLite's errors into :class:`StoreError` with a remedy."""
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {_explain(error)}") from error

    @contextmanager
    def _system_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"{self.path}: {error.strerror or error}; choose another place with --store or ALPHABOOK_STORE"
            ) from error

    def _exists(self) -> bool:
        if self.path.is_dir():
            raise StoreError(
                f"{self.path} is a folder, not a candle store; name a file in it, like {self.path}/market.sqlite"
            )
        return self.path.exists() and (self.path.stat().st_size > 0 or self.read_only)

    def _connect(self) -> sqlite3.Connection:
        if not self.read_only:
            with self._system_errors():
                self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = _open(self.path, read_only=self.read_only)
        try:
            new = self._check_identity(connection)
            if new:
                self._create(connection)
            if not self.read_only:
                _write_ahead(connection)
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _check_identity(self, connection: sqlite3.Connection) -> bool:
        """Whether the database is new and empty; refuses one that is not ours, before any write."""
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if application == APPLICATION_ID and version > SCHEMA_VERSION:
            raise StoreError(
                f"{self.path} has schema version {version}, this alphabook knows {SCHEMA_VERSION}; "
                "update alphabook, or name another file"
            )
        if application != APPLICATION_ID and (tables or version):
            raise StoreError(f"{self.path} is an SQLite database, but not a candle store; name another file")
        if not tables and self.read_only:
            raise StoreError(f"{self.path} is empty; run `alphabook fetch` or `alphabook import DIR` to fill it")
        return not tables

    def _create(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:  # another process was first
                for statement in SCHEMA.split(";\n"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.commit()
        except BaseException:
            connection.rollback()
            raise

    def _require_open(self) -> None:
        if self._closed:
            raise StoreError(f"{self.path}: the store is closed; open it again with CandleStore(path)")

    def _require_writable_folder(self) -> None:
        folder = next(p for p in (self.path.parent, *self.path.absolute().parents) if p.exists())
        if not folder.is_dir():
            raise StoreError(f"{self.path} cannot be created: {folder} is a file; choose another place with --store")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise StoreError(
                f"{self.path} cannot be created: no permission to write in {folder}; "
                "choose another place with --store or ALPHABOOK_STORE"
            )


def _open(path: Path, *, read_only: bool) -> sqlite3.Connection:
    if not read_only:
        return _connection(f"{path.absolute().as_uri()}")
    try:
        connection = _connection(f"{path.absolute().as_uri()}?mode=ro")
        with closing(connection.execute("SELECT count(*) FROM sqlite_master")) as cursor:
            cursor.fetchone()
        return connection
    except sqlite3.OperationalError:
        # a WAL database in a folder that cannot be written: nobody writes it, so it may be read as it lies
        if Path(f"{path}-wal").exists():
            raise
        return _connection(f"{path.absolute().as_uri()}?mode=ro&immutable=1")


def _connection(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch to write-ahead logging; the switch itself does not wait for other processes, so try again."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _explain(error: sqlite3.Error) -> str:
    text = str(error)
    for clue, remedy in {
        "not a database": "not a candle store but another kind of file; name another file",
        "malformed": "the file is damaged; restore a copy, or delete it and fetch again",
        "readonly": "no permission to write; choose another place with --store or ALPHABOOK_STORE",
        "unable to open": "it cannot be opened; check its permissions, or choose another place with --store",
        "locked": f"another process kept it busy for {BUSY_SECONDS:.0f} s; wait for it to end, then try again",
        "full": "the disk is full; free some space, then try again",
        "no such table": "tables are missing, the file is damaged; restore a copy, or delete it and fetch again",
    }.items():
        if clue in text:
            return f"{remedy} (SQLite: {text})"
    return f"SQLite: {text}"
