"""Connects to the catalog's database and migrates its schema."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, event, false, make_url, text, update
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

from xemplar.archive.permissions import make_folder
from xemplar.archive.storage_errors import writing_files
from xemplar.archive.store import Store
from xemplar.catalog.failures import failure, unusable
from xemplar.catalog.sqlite import connect_sqlite
from xemplar.catalog.tables import ChangeRow
from xemplar.errors import ConfigurationError, Mismatch, ReadOnlyStorage

MIGRATIONS = Path(__file__).parent / "migrations"

PASSWORD_FILE = "password_file"  # noqa: S105 -- the name of a query
"""Query parameter of a database URL that names a password file; a password in the URL would be
visible in the environment and in process lists."""

_MIGRATION_LOCK = 7_236_457_801  # PostgreSQL's lock key: arbitrary, but the same in every version


def connect(url: str, *, no_timeout: bool = False, connections: int = 15) -> Engine:
    """An engine for SQLite or PostgreSQL. Nothing is read from the database yet.

    Args:
        url: of the database; for PostgreSQL with "?password_file=FILE", unless it holds a password.
        no_timeout: wait for PostgreSQL as long as an answer takes (see `xemplar.catalog.postgres`).
        connections: at most, of which `KEPT_CONNECTIONS` stay open while idle.

    Raises:
        ConfigurationError: the URL is invalid or names another database, the password file is
            unusable, or the driver is not installed.
    """
    address = address_of(url)
    try:
        if address.get_backend_name() == "postgresql":
            from xemplar.catalog.postgres import connect_postgres

            engine = connect_postgres(with_password(address), connections, no_timeout=no_timeout)
        else:
            engine = connect_sqlite(address, connections)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"the database URL needs {error.name}; install it with `pip install "
            "'xemplar[postgres]'`"
        ) from error
    _close_what_comes_back_late(engine)
    return engine


def _close_what_comes_back_late(engine: Engine) -> None:
    """Close connections that are returned after `Engine.dispose`.

    SQLAlchemy leaves them to the garbage collector: a service that stops while one of its threads
    still reads would leave them open.
    """
    disposed = False

    @event.listens_for(engine, "engine_disposed")
    def _disposed(_engine: Engine) -> None:
        nonlocal disposed
        disposed = True

    @event.listens_for(engine, "checkin")
    def _returned(_connection: object, record: ConnectionPoolEntry) -> None:
        if disposed:
            record.invalidate()


def migrate(url: str, store: Store | None = None) -> None:
    """Create the tables or migrate older ones, in one transaction; safe to repeat.

    Args:
        url: of the database.
        store: the catalog's store, whose key a migration may need.

    Raises:
        ConfigurationError: a migration needs the key, and there is none.
        DatabaseUnreachable: the database cannot be reached.
        Mismatch: a newer version of this software has changed it.
    """
    address = address_of(url)
    if address.database and address.get_backend_name() == "sqlite":
        folder = Path(address.database).parent
        with writing_files(folder):
            make_folder(folder)
    engine = connect(url, no_timeout=True)  # a large table takes a while to change
    try:
        # if two processes migrate concurrently, the second waits and then finds nothing to do
        with engine.connect().execution_options(write=True) as connection, connection.begin():
            if connection.dialect.name == "postgresql":
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
            _refuse_newer(connection)
            config = _config()
            config.attributes["connection"] = connection
            config.attributes["store"] = store
            command.upgrade(config, "head")
    except DBAPIError as error:
        raise unusable(engine, error) from error
    finally:
        engine.dispose()


def check(engine: Engine) -> None:
    """Refuse a database whose schema is not this software's.

    Raises:
        ConfigurationError: there is no catalog in it.
        DatabaseUnreachable: it cannot be reached.
        Mismatch: its schema is older or newer.
    """
    found = revision(engine)
    if found != head():
        raise Mismatch(
            f"the catalog {engine.url.render_as_string(hide_password=True)} has schema {found}; "
            f"this software needs {head()}; run `xemplar upgrade`, which keeps all data"
        )


def revision(engine: Engine) -> str:
    """Return the schema revision of a catalog.

    Raises:
        ConfigurationError: there is no catalog in the database.
        DatabaseUnreachable: it cannot be reached.
        Mismatch: a newer version of this software has changed it.
    """
    where = engine.url.render_as_string(hide_password=True)
    database = engine.url.database
    if engine.dialect.name == "sqlite" and not (database and Path(database).is_file()):
        # connecting would create an empty file
        raise ConfigurationError(f"there is no catalog at {where}; make one with `xemplar index`")
    try:
        with engine.connect() as connection:
            _refuse_newer(connection)
            found = _revision(connection)
    except DBAPIError as error:
        raise unusable(engine, error) from error
    if found is None:
        raise ConfigurationError(
            f"there is no catalog in {where}; make one with `xemplar index`, or name the right "
            "database with --database (XEMPLAR_DATABASE_URL)"
        )
    return found


@cache
def head() -> str:
    """Return the schema revision of this software."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Open a write transaction.

    Raises:
        StorageError: the database does not answer, has no room left, or is read-only.
    """
    with _domain_errors(engine):
        connection = engine.connect().execution_options(write=True)
        with connection, connection.begin():
            yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Open a connection for reading.

    Raises:
        StorageError: the database does not answer.
    """
    with _domain_errors(engine), engine.connect() as connection:
        yield connection


def check_writable(engine: Engine) -> None:
    """Refuse a database that rejects writes, without changing or locking a row.

    Raises:
        StorageError: it is read-only, such as a standby after a failover, or does not answer.
    """
    with writing(engine) as connection:
        connection.execute(update(ChangeRow).where(false()).values(number=ChangeRow.number))


@contextmanager
def _domain_errors(engine: Engine) -> Iterator[None]:
    """Turn database errors into domain errors."""
    try:
        yield
    except (DBAPIError, PoolTimeout) as error:
        known = failure(engine, error)
        if known is None:
            raise
        if isinstance(known, ReadOnlyStorage):
            # a new connection may reach the server that accepts writes by now, or a remounted file
            engine.dispose()
        raise known from error


def address_of(url: str) -> URL:
    """Parse the URL of a database.

    Raises:
        ConfigurationError: it is none, or of a database other than SQLite in a file and PostgreSQL.
    """
    try:
        address = make_url(url)
    except ArgumentError as error:
        raise ConfigurationError(f"the database URL cannot be read: {error}") from error
    if address.drivername in ("postgres", "postgresql"):
        address = address.set(drivername="postgresql+psycopg")
    if address.drivername not in ("sqlite", "sqlite+pysqlite", "postgresql+psycopg"):
        raise ConfigurationError(
            f"the database URL names {address.drivername!r}; use sqlite:///FILE or "
            "postgresql+psycopg://USER@HOST/DATABASE"
        )
    if address.get_backend_name() == "sqlite" and address.database in (None, "", ":memory:"):
        raise ConfigurationError("the catalog needs a file; use sqlite:///FILE")
    return address


def with_password(address: URL, server: str = "database") -> URL:
    """Add the password from the file that an address names, if it names one.

    Args:
        address: with "?password_file=FILE".
        server: what the password is for, to name it in errors.

    Raises:
        ConfigurationError: there are two passwords, or the file cannot be used.
    """
    file = address.query.get(PASSWORD_FILE)
    if file is None:
        return address
    if address.password is not None or not isinstance(file, str):
        raise ConfigurationError(f"the {server} URL needs one password; name one file, or give it")
    try:
        password = Path(file).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigurationError(
            f"the file {file} with the {server}'s password cannot be read: {why}; name it in the "
            f"{server} URL (password_file), readable by this user"
        ) from error
    if not password:
        raise ConfigurationError(
            f"the file {file} should hold the {server}'s password; it is empty"
        )
    return address.difference_update_query([PASSWORD_FILE]).set(password=password)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


@cache
def _revisions() -> frozenset[str]:
    """Return all schema revisions that this software knows; read once, as each is a Python file."""
    scripts = ScriptDirectory.from_config(_config()).walk_revisions()
    return frozenset(script.revision for script in scripts)


def _refuse_newer(connection: Connection) -> None:
    revision = _revision(connection)
    if revision is not None and revision not in _revisions():
        raise Mismatch(
            f"the catalog {connection.engine.url.render_as_string(hide_password=True)} has schema "
            f"{revision}, which is newer than this software's {head()}; install the version that "
            "wrote it"
        )
