"""Every command, with arguments that cannot be used: one line says so, before anything slow."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.images import drawn_image, encoded
from tests.pacs.films import film
from tests.stores import SmallStore, small_store
from xemplar.__main__ import main
from xemplar.archive.store import Store

Run = Callable[..., tuple[int, str, str]]

ID = "0" * 16
COMMANDS: dict[str, tuple[str, ...]] = {
    "serve": ("serve", "--port", "0"),
    "query": ("query", "{IMAGE}"),
    "dicom results": ("dicom", "results", "{DICOM}", "--out", "{NEW}"),
    "dicom listen": (
        *("dicom", "listen", "--do", "index", "--port", "0", "--free-bytes", "0"),
        *("--folder", "{NEW}"),
    ),
    "index": ("index", "{IMAGES}"),
    "reindex": ("reindex",),
    "worker": ("worker",),
    "generations list": ("generations", "list"),
    "generations activate": ("generations", "activate", "20260101T000000Z-00000000"),
    "generations prune": ("generations", "prune"),
    "generations calibrate": ("generations", "calibrate", "{TEXT}"),
    "jobs list": ("jobs", "list"),
    "jobs cancel": ("jobs", "cancel", ID),
    "keys create": ("keys", "create", "ward", "--role", "reader"),
    "keys list": ("keys", "list"),
    "keys revoke": ("keys", "revoke", ID),
    "upgrade": ("upgrade",),
    "backup": ("backup", "{NEW}"),
    "restore": ("restore", "{TEXT}"),
    "evaluate": ("evaluate", "ranking", "{IMAGES}", "--out", "{NEW}"),
    "readers open": ("readers", "open", "{JSON}"),
    "readers progress": ("readers", "progress", ID),
    "readers analyse": ("readers", "analyse", ID, "--out", "{NEW}"),
    "watch": ("watch",),
    "export": ("export", "--out", "{NEW}"),
    "map": ("map", "--out", "{NEW}", "--method", "pca"),
}
"""All that read a store, with arguments that are right."""

WITHOUT_A_STORE = {
    "average",
    "demo",
    "inspect",
    "openapi",
    "phantoms",
    "recalibrate",
    "study",
    "train",
}

OF_A_CHECKPOINT = (
    "serve",
    "query",
    "index",
    "reindex",
    "generations activate",
    "evaluate",
    "watch",
)

BAD: dict[str, tuple[str, ...]] = {
    "an option that there is not": ("generations", "list", "--stroe", "x"),
    "a command that there is not": ("generations", "lst"),
    "an argument too many": ("query", "{IMAGE}", "{IMAGE}"),
    "no argument": ("index",),
    "no image": ("query", "{NOWHERE}"),
    "a folder for an image": ("query", "{IMAGES}"),
    "text for an image": ("query", "{TEXT}"),
    "pictures into a folder that is there": ("query", "{IMAGE}", "--pictures", "{IMAGES}"),
    "pictures into a file": ("query", "{IMAGE}", "--pictures", "{TEXT}"),
    "pictures below a file": ("query", "{IMAGE}", "--pictures", "{TEXT}/below"),
    "k that is no number": ("query", "{IMAGE}", "-k", "many"),
    "too large a k": ("query", "{IMAGE}", "-k", "101"),
    "an unknown finding": ("query", "{IMAGE}", "--finding", "Gout"),
    "an age that is no number": ("query", "{IMAGE}", "--age-min", "old"),
    "an unknown sex": ("query", "{IMAGE}", "--sex", "X"),
    "an id that is none": ("query", "{IMAGE}", "--exclude", "../x"),
    "results without a folder": ("dicom", "results", "{DICOM}"),
    "results into a folder that is there": ("dicom", "results", "{DICOM}", "--out", "{IMAGES}"),
    "results of a picture": ("dicom", "results", "{IMAGE}", "--out", "{NEW}"),
    "results of text": ("dicom", "results", "{TEXT}", "--out", "{NEW}"),
    "results of an unknown finding": (
        "dicom",
        "results",
        "{DICOM}",
        "--out",
        "{NEW}",
        "--finding",
        "Gout",
    ),
    "no folder of images": ("index", "{NOWHERE}"),
    "a file for a folder of images": ("index", "{TEXT}"),
    "a folder without images": ("index", "{EMPTY}"),
    "a split that there is not": ("index", "{IMAGES}", "--split", "tset"),
    "no label file": ("index", "{IMAGES}", "--table", "{NOWHERE}"),
    "a folder for a label file": ("index", "{IMAGES}", "--table", "{EMPTY}"),
    "text for a label file": ("index", "{IMAGES}", "--table", "{TEXT}"),
    "a column for two": ("index", "{IMAGES}", "--columns", "file=a,findings=a"),
    "columns that are none": ("index", "{IMAGES}", "--columns", "nonsense"),
    "an unknown precision": ("index", "{IMAGES}", "--precision", "float16"),
    "fewer than no threads": ("index", "{IMAGES}", "--threads", "-1"),
    "an index that FAISS does not know": ("index", "{IMAGES}", "--factory", "Flatt"),
    "another index that FAISS does not know": ("reindex", "--factory", "Flatt"),
    "an index that cannot be filtered": ("reindex", "--factory", "IDMap2,HNSW32"),
    "a queue that is none": ("reindex", "--background", "--queue", "nonsense"),
    "a worker's queue that is none": ("worker", "--queue", "nonsense"),
    "too short a lease": ("worker", "--lease", "1"),
    "a generation that is none": ("generations", "activate", "../x"),
    "no generation kept": ("generations", "prune", "--keep", "0"),
    "no calibration": ("generations", "calibrate", "{NOWHERE}"),
    "a folder for a calibration": ("generations", "calibrate", "{IMAGES}"),
    "text for a calibration": ("generations", "calibrate", "{TEXT}"),
    "JSON for a calibration": ("generations", "calibrate", "{JSON}"),
    "a job that is none": ("jobs", "cancel", "../x"),
    "no role": ("keys", "create", "ward"),
    "an unknown role": ("keys", "create", "ward", "--role", "boss"),
    "a key without a name": ("keys", "create", "", "--role", "reader"),
    "a key that is none": ("keys", "revoke", "../x"),
    "a backup onto a file": ("backup", "{TEXT}"),
    "a backup onto a folder": ("backup", "{IMAGES}"),
    "a backup below a file": ("backup", "{TEXT}/below"),
    "no backup": ("restore", "{NOWHERE}", "--store", "{NEW}"),
    "a folder for a backup": ("restore", "{IMAGES}", "--store", "{NEW}"),
    "text for a backup": ("restore", "{TEXT}", "--store", "{NEW}"),
    "a restore into a store": ("restore", "{TEXT}"),
    "phantoms into a folder that is there": ("phantoms", "{IMAGES}"),
    "phantoms into a file": ("phantoms", "{TEXT}"),
    "phantoms below a file": ("phantoms", "{TEXT}/below"),
    "no folder to inspect": ("inspect", "{NOWHERE}"),
    "an inspection of nothing": ("inspect", "{EMPTY}", "--fix-columns"),
    "an inspection onto a file": ("inspect", "{IMAGES}", "--out", "{TEXT}"),
    "no folder to study": ("study", "{NOWHERE}", "--out", "{NEW}"),
    "a study of nothing": ("study", "{EMPTY}", "--out", "{NEW}"),
    "a study in a file": ("study", "{IMAGES}", "--out", "{TEXT}"),
    "no study to go on with": ("study", "--out", "{EMPTY}"),
    "text for a study's choices": ("study", "--config", "{TEXT}", "--out", "{NEW}"),
    "an export into a folder that is there": ("export", "--out", "{EMPTY}"),
    "a format of an export that is none": ("export", "--out", "{NEW}", "--format", "xlsx"),
    "a map onto a file": ("map", "--out", "{TEXT}"),
    "a projection that is none": ("map", "--out", "{NEW}", "--method", "umapp"),
    "no phantoms": ("phantoms", "{NEW}", "--count", "0"),
    "an unknown study": ("evaluate", "everything", "{IMAGES}", "--out", "{NEW}"),
    "no data set": ("evaluate", "ranking", "{NOWHERE}", "--out", "{NEW}"),
    "a report that is there": ("evaluate", "ranking", "{IMAGES}", "--out", "{EMPTY}"),
    "no boxes": ("evaluate", "ranking", "{IMAGES}", "--out", "{NEW}", "--boxes", "{NOWHERE}"),
    "text for ratings": (
        "evaluate",
        "ranking",
        "{IMAGES}",
        "--out",
        "{NEW}",
        "--experts",
        "{TEXT}",
    ),
    "text for a protocol": ("readers", "plan", "{TEXT}", "--out", "{NEW}"),
    "no protocol": ("readers", "power", "{NOWHERE}"),
    "text for a plan": ("readers", "open", "{TEXT}"),
    "JSON for a plan": ("readers", "open", "{JSON}"),
    "a study that there is not": ("readers", "progress", ID),
    "a study that there is not, to be analysed": ("readers", "analyse", ID, "--out", "{NEW}"),
    "a day that is none": ("watch", "--since", "yesterday"),
    "too small a window": ("watch", "--window", "3"),
    "a port of the watch that is none": ("watch", "--port", "70000"),
    "no training data": ("train", "{NOWHERE}", "--out", "{NEW}"),
    "a file for training data": ("train", "{TEXT}", "--out", "{NEW}"),
    "a run in a file": ("train", "{IMAGES}", "--out", "{TEXT}"),
    "no checkpoint to average": ("average", "{NOWHERE}", "{TEXT}", "{IMAGES}", "--out", "{NEW}"),
    "a text to average": ("average", "{TEXT}", "{TEXT}", "{IMAGES}", "--out", "{NEW}"),
    "no checkpoint to recalibrate": ("recalibrate", "{NOWHERE}", "{IMAGES}", "--out", "{NEW}"),
    "a text to recalibrate": ("recalibrate", "{TEXT}", "{IMAGES}", "--out", "{NEW}"),
    "a recalibration into a file": ("recalibrate", "{TEXT}", "{IMAGES}", "--out", "{TEXT}"),
    "an unknown recipe": ("train", "{IMAGES}", "--out", "{NEW}", "--recipe", "best"),
    "no such weights": ("train", "{IMAGES}", "--out", "{NEW}", "--initial", "{NOWHERE}"),
    "a weight that is none": (
        "train",
        "{IMAGES}",
        "--out",
        "{NEW}",
        "--sampling-weight",
        "kermany",
    ),
    "an unknown policy": ("train", "{IMAGES}", "--out", "{NEW}", "--uncertain", "maybe"),
    "no epochs": ("train", "{IMAGES}", "--out", "{NEW}", "--epochs", "-1"),
    "an unknown device": ("train", "{IMAGES}", "--out", "{NEW}", "--device", "abacus"),
    "a port that is none": ("serve", "--port", "70000"),
    "a port that is no number": ("serve", "--port", "http"),
    "peers that are none": ("dicom", "listen", "--do", "index", "--peers", "ORTHANC"),
    "results for no archive": ("dicom", "listen", "--folder", "{NEW}"),
    "an archive that is none": ("dicom", "listen", "--archive", "pacs", "--folder", "{NEW}"),
    "no outbox": ("dicom", "outbox", "list", "--folder", "{NOWHERE}"),
    "a host that is no name": ("serve", "--host", "no where", "--port", "0"),
}

STORES = {
    "a file": ("{TEXT}", "is a file"),
    "a folder of other things": ("{IMAGES}", "is not a store and not empty"),
    "a folder of other things with a name of a store's": (
        "{OTHER}",
        "is not a store and not empty",
    ),
    "what is below a file": ("{TEXT}/below", ""),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> SmallStore:
    return small_store(tmp_path_factory.mktemp("small"), tiny_checkpoint)


@pytest.fixture
def small(made: SmallStore, tmp_path_factory: pytest.TempPathFactory) -> SmallStore:
    """A copy that a command may change."""
    copy = tmp_path_factory.mktemp("copy") / "store"
    shutil.copytree(made.store.root, copy)
    return replace(made, store=Store(copy))


@pytest.fixture
def places(tmp_path: Path) -> dict[str, str]:
    """What the words in capitals stand for."""
    names = ("IMAGES", "EMPTY", "IMAGE", "DICOM", "TEXT", "JSON", "NEW", "NOWHERE", "OTHER")
    found = {name: tmp_path / name.lower() for name in names}
    found["IMAGES"].mkdir()
    found["EMPTY"].mkdir()
    for name in ("media", "checkpoints", "home"):
        (found["OTHER"] / name).mkdir(parents=True)
    for place in (found["IMAGE"], found["IMAGES"] / "one.png"):
        place.write_bytes(encoded(drawn_image(3)))
    found["DICOM"].write_bytes(film(drawn_image(3)))
    found["TEXT"].write_text("no image, no JSON, no backup\n")
    found["JSON"].write_text('{"slope": "steep"}')
    return {name: str(path) for name, path in found.items()}


@pytest.fixture
def run(
    small: SmallStore,
    places: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Runs a command on the small store; gives exit status, stdout, stderr."""

    def command(*words: str) -> tuple[int, str, str]:
        monkeypatch.setenv("XEMPLAR_STORE", str(small.store.root))
        monkeypatch.setenv("XEMPLAR_CHECKPOINT", str(small.checkpoint))
        monkeypatch.setattr("xemplar_app.logs.configure_logs", lambda _: None)
        named = [word.format(**places) for word in words]
        monkeypatch.setattr(sys, "argv", ["xemplar", *named])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return command


def files(places: dict[str, str]) -> dict[Path, int]:
    """What lies there, and when it was changed."""
    found = Path(places["IMAGE"]).parent.rglob("*")
    return {path: path.stat().st_mtime_ns for path in found if path.is_file()}


def refused(told: tuple[int, str, str], *wanted: str) -> None:
    status, out, err = told
    assert status in (1, 2), told
    assert out == ""
    assert err.startswith("error "), err
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    for words in wanted:
        assert words in err


def test_all_commands_are_here() -> None:
    commands = {entry.name for entry in entry_points(group="xemplar.commands")}
    assert {name.split()[0] for name in COMMANDS} | WITHOUT_A_STORE == commands


@pytest.mark.parametrize("name", BAD)
def test_arguments_that_cannot_be_used(run: Run, places: dict[str, str], name: str) -> None:
    before = files(places)
    refused(run(*BAD[name]))
    assert files(places) == before


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", STORES)
def test_a_store_that_is_none(run: Run, command: str, name: str) -> None:
    store, wanted = STORES[name]
    refused(run(*COMMANDS[command], "--store", store), wanted)


@pytest.mark.parametrize("command", OF_A_CHECKPOINT)
@pytest.mark.parametrize("checkpoint", ["{NOWHERE}", "{IMAGES}", "{TEXT}"])
def test_a_checkpoint_that_is_none(run: Run, command: str, checkpoint: str) -> None:
    refused(run(*COMMANDS[command], "--checkpoint", checkpoint))


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "generations list"])
@pytest.mark.parametrize("url", ["nonsense", "mysql://x/y", "sqlite:///{TEXT}/catalog.sqlite"])
def test_a_database_that_is_none(run: Run, command: str, url: str) -> None:
    if "prune" not in command:
        refused(run(*COMMANDS[command], "--database", url))


@pytest.mark.parametrize("command", [*COMMANDS, "openapi", "phantoms"])
def test_a_misspelt_variable(run: Run, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("XEMPLAR_STROE", "x")
    words = COMMANDS.get(command, (command, *(("{NEW}",) if command == "phantoms" else ())))
    refused(run(*words), "XEMPLAR_STROE", "did you mean XEMPLAR_STORE?")
