"""Environment variables: unknown ``XEMPLAR_*`` are refused, and libraries get one thread each."""

from collections.abc import Mapping, MutableMapping
from difflib import get_close_matches

from xemplar.errors import ConfigurationError

PREFIX = "XEMPLAR_"

SETTINGS = (
    "AUDIT_DAYS",
    "BATCHES_AT_ONCE",
    "BODIES_OF_CALLER",
    "BODY_BYTES_PER_SECOND",
    "BODY_SECONDS",
    "CASES_PER_DAY",
    "CASES_PER_DAY_ALARM",
    "CHECKPOINT",
    "CONCURRENT_QUERIES",
    "CONNECTIONS",
    "CONNECTIONS_PER_ADDRESS",
    "CORS_ORIGINS",
    "DATABASE_URL",
    "DECODE_BYTES",
    "DECODE_SECONDS",
    "IMAGES_ARRIVING",
    "IMAGES_AT_ONCE",
    "HEAD_SECONDS",
    "HOST",
    "HOSTS",
    "INDEX_URL",
    "LOG_FORMAT",
    "MAX_PIXELS",
    "MAX_UPLOAD_BYTES",
    "OPEN_METRICS",
    "PORT",
    "PRECISION",
    "PURGE_HOURS",
    "QUERY_HOURS",
    "RECENT_QUERIES",
    "REPORTS",
    "REQUESTS_AT_ONCE",
    "REQUESTS_PER_SECOND",
    "ROOT_PATH",
    "RUNTIME",
    "SAVED_DAYS",
    "STALL_SECONDS",
    "STOP_SECONDS",
    "STORE",
    "STUDY_DAYS",
    "THREADS",
    "VIEWER_URL",
    "WAIT_SECONDS",
    "WITHOUT_KEYS",
    "WRONG_KEYS_PER_MINUTE",
)
"""Settings of the service, some of which commands read as well."""

OF_THE_NODE = (
    "ARCHIVE",
    "ASSOCIATIONS",
    "CASES",
    "CERTIFICATE",
    "DO",
    "FOLDER",
    "FREE_BYTES",
    "HOST",
    "IMAGE_BYTES",
    "METRICS_PORT",
    "PDU_BYTES",
    "PEERS",
    "PORT",
    "PRIVATE_KEY",
    "REMEMBER_DAYS",
    "RETRY_SECONDS",
    "SEND",
    "SOURCE",
    "STALL_SECONDS",
    "TITLE",
    "TRIES",
    "TRUSTED",
)
"""Settings of the DICOM node, all of which begin with ``XEMPLAR_PACS_``."""

OTHERS = (
    "CHROMIUM",  # tests of the page
    "DATA",  # demo, tests
    "KEY",  # xemplar.Client
    *("CPUS", "IMAGES", "MEMORY", "PHANTOMS", "SOURCE", "TARGET", "VERSION"),  # docker-compose.yml
)
"""Variables with this prefix that are read elsewhere."""

REMOVED = {
    "XEMPLAR_QUEUE_URL": "jobs wait in the catalog alone, where the worker looks for them",
}
"""Variables of earlier versions and their replacements."""

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Variables that OpenMP (FAISS, PyTorch) and OpenBLAS (numpy, FAISS) read when they are loaded."""

KNOWN = frozenset(
    PREFIX + name for name in (*SETTINGS, *(f"PACS_{name}" for name in OF_THE_NODE), *OTHERS)
)


def check_environment(environment: Mapping[str, str]) -> None:
    """Refuse unknown variables with our prefix, which would otherwise be silently ignored.

    Raises:
        ConfigurationError: names each one and the most similar known variable.
    """
    unknown = sorted(
        name for name in environment if name.upper().startswith(PREFIX) and name not in KNOWN
    )
    if unknown:
        named = "; ".join(map(_refusal, unknown))
        raise ConfigurationError(
            f"{named} docs/settings.md lists all variables; unset unknown ones"
        )


def limit_threads(environment: MutableMapping[str, str]) -> None:
    """Give OpenMP and OpenBLAS one thread each, unless the user has set their variables.

    Their threads spin while they wait, and the products of a query are too small to be divided, so
    more of them only take processors from the network, whose threads OpenVINO manages, and from
    other queries. A program calls this before anything imports numpy; the library never does, as
    the variables belong to the process that imports it.
    """
    for name in THREADS:
        environment.setdefault(name, "1")


def _refusal(name: str) -> str:
    if instead := REMOVED.get(name.upper()):
        return f"{name} is gone: {instead}."
    return f"{name} is no variable of xemplar: did you mean {_nearest(name)}?"


def _nearest(name: str) -> str:
    (nearest,) = get_close_matches(name.upper(), KNOWN, n=1, cutoff=0)
    return nearest
