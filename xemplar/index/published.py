"""Which generation is live: publishing one, going back to an older one, listing all."""

import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from xemplar.archive.artefact import write_file
from xemplar.archive.storage_errors import writing_files
from xemplar.archive.store import Store
from xemplar.errors import ConfigurationError, CorruptArtefact, NotFound, NothingIndexed
from xemplar.index.manifest import NAME, Manifest, read_manifest


@dataclass(frozen=True)
class Damaged:
    """A generation whose manifest cannot be read: it can be removed, and not published.

    Attributes:
        name: of its folder.
        fault: what is wrong, and what to do.
    """

    name: str
    fault: str


def folder_of(name: str, store: Store) -> Path:
    """Where a generation lies.

    Raises:
        NotFound: there is none of that name.
    """
    names = _names(store)
    if name not in names:
        raise NotFound(
            f"there is no generation {name[:64]!r}; there are: {', '.join(names) or 'none'}"
        )
    return store.generations / name


def publish(store: Store, name: str) -> None:
    """Make a generation the live one, atomically. Naming an older one is the rollback.

    Raises:
        NotFound: there is none of that name.
        CorruptArtefact: its manifest cannot be read.
    """
    read_manifest(folder_of(name, store))
    write_file(store.current, f"{name}\n".encode())


def current(store: Store) -> str:
    """Name of the live generation.

    Raises:
        NothingIndexed: none was published yet.
        CorruptArtefact: the one that is named is not there.
    """
    try:
        name = store.current.read_text().strip()
    except FileNotFoundError as error:
        if store.restoring.is_file():
            raise NothingIndexed(
                f"a restore into {store.root} was cut off; run `xemplar restore` again"
            ) from error
        raise NothingIndexed(
            f"nothing is indexed in {store.root} yet; run `xemplar index FOLDER --store "
            f"{store.root}`, or name another store with --store (XEMPLAR_STORE)"
        ) from error
    if name not in _names(store):
        raise CorruptArtefact(
            f"{store.current} names the generation {name[:64]!r}, which is not there; run "
            "`xemplar generations activate NAME` with another one, or `xemplar index`"
        )
    return name


def generations(store: Store) -> tuple[Manifest | Damaged, ...]:
    """All generations in the store, oldest first; a damaged one hides none of the others."""
    return tuple(_manifest(store, name) for name in _names(store))


def _manifest(store: Store, name: str) -> Manifest | Damaged:
    try:
        return read_manifest(store.generations / name)
    except CorruptArtefact as error:
        return Damaged(name, str(error))


def remove(store: Store, name: str) -> None:
    """Delete a generation for good, at once as a reader sees it. The live one is not deleted.

    A process that has it open goes on with it: its files are deleted when it is closed.

    Raises:
        NotFound: there is none of that name.
        ConfigurationError: it is the live one.
    """
    folder = folder_of(name, store)
    if store.current.is_file() and name == current(store):
        raise ConfigurationError(
            f"generation {name} is live and is not deleted; publish another one first"
        )
    gone = store.generations / f".{name}.{secrets.token_hex(4)}"
    with writing_files(store.generations):
        folder.rename(gone)
        shutil.rmtree(gone)


def _names(store: Store) -> list[str]:
    # what is being built, or was when the process died, has no final name and is hidden
    return sorted(path.parent.name for path in store.generations.glob(f"[!.]*/{NAME}"))
