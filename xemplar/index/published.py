"""Publishes, lists and removes generations, and tells which one is live."""

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
class DamagedGeneration:
    """A generation with an unreadable manifest; it can be removed but not published.

    Attributes:
        name: of its folder.
        fault: the problem and its remedy.
    """

    name: str
    fault: str


def folder_of(name: str, store: Store) -> Path:
    """Return the folder of a generation.

    Raises:
        NotFound: there is no generation of that name.
    """
    names = _names(store)
    if name not in names:
        raise NotFound(
            f"there is no generation {name[:64]!r}; there are: {', '.join(names) or 'none'}"
        )
    return store.generations / name


def publish(store: Store, name: str) -> None:
    """Make a generation live, atomically; publishing an older one is a rollback.

    Raises:
        NotFound: there is no generation of that name.
        CorruptArtefact: its manifest cannot be read.
    """
    read_manifest(folder_of(name, store))
    write_file(store.current, f"{name}\n".encode())


def current(store: Store) -> str:
    """Return the name of the live generation.

    Raises:
        NothingIndexed: no generation was published yet.
        CorruptArtefact: the generation named as live does not exist.
    """
    try:
        name = store.current.read_text().strip()
    except FileNotFoundError as error:
        if store.restoring.is_file():
            raise NothingIndexed(
                f"a restore into {store.root} was interrupted; run `xemplar restore` again"
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


def generations(store: Store) -> tuple[Manifest | DamagedGeneration, ...]:
    """Return all generations in the store, oldest first, including damaged ones."""
    return tuple(_manifest(store, name) for name in _names(store))


def _manifest(store: Store, name: str) -> Manifest | DamagedGeneration:
    try:
        return read_manifest(store.generations / name)
    except CorruptArtefact as error:
        return DamagedGeneration(name, str(error))


def remove(store: Store, name: str) -> None:
    """Delete a generation, atomically for readers; refuse to delete the live one.

    A process that has it open can go on using it; the files are freed when it closes them.

    Raises:
        NotFound: there is no generation of that name.
        ConfigurationError: it is the live one.
    """
    folder = folder_of(name, store)
    if store.current.is_file() and name == current(store):
        raise ConfigurationError(
            f"generation {name} is live and cannot be deleted; publish another one first"
        )
    gone = store.generations / f".{name}.{secrets.token_hex(4)}"
    with writing_files(store.generations):
        folder.rename(gone)
        shutil.rmtree(gone)


def _names(store: Store) -> list[str]:
    # unfinished generations have hidden names
    return sorted(path.parent.name for path in store.generations.glob(f"[!.]*/{NAME}"))
