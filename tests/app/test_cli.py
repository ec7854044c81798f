"""``xemplar serve`` and ``xemplar query``: refusals in one line, and the service's answers."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from tests.app.asking import ask
from tests.images import TINY, dicom, drawn_image, encoded, seeded_weights
from tests.stores import CASES, SmallStore
from xemplar.__main__ import main
from xemplar.archive.store import Store
from xemplar.catalog import open_catalog
from xemplar.cli.environment import THREADS
from xemplar.data.findings import NIH14
from xemplar.model.checkpoint import keep, load, save
from xemplar.reports.report import StoredReport

IMAGE = encoded(drawn_image(50, 300, 240))


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs the command; gives exit status, stdout, stderr."""

    def command(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["xemplar", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    monkeypatch.setenv("XEMPLAR_PRECISION", "float32")
    monkeypatch.setenv("XEMPLAR_PORT", "0")
    monkeypatch.setattr(
        "xemplar_app.logs.configure_logs", lambda _: None
    )  # it is the whole process's
    return command


@pytest.fixture
def copy(own: SmallStore) -> Path:
    """A copy of the small store, to be spoilt.

    It is not made of `small`, which this process has open: reading SQLite's files would drop the
    locks that keep other processes from deleting them.
    """
    return own.store.root


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image.png"
    path.write_bytes(IMAGE)
    return path


def another_checkpoint(folder: Path, small: SmallStore, **changes: Any) -> Path:
    path = folder / "another.safetensors"
    card = replace(load(small.checkpoint).card, **changes)
    save(path, card, seeded_weights(TINY, len(NIH14), seed=1))
    return path


def in_catalog(store: Path, statement: str) -> None:
    connection = sqlite3.connect(store / "catalog.sqlite")
    with connection:
        connection.execute(statement)
    connection.close()


def damage(store: Path) -> None:
    vectors = next((store / "generations").glob("*/vectors.npy"))
    vectors.write_bytes(vectors.read_bytes()[:-1])


SPOILT: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "nothing indexed": (shutil.rmtree, "NothingIndexed", "run `xemplar index"),
    "damaged index": (damage, "CorruptArtefact", "run `xemplar index`"),
    "no catalog": (
        lambda store: (store / "catalog.sqlite").unlink(),
        "ConfigurationError",
        "make one with `xemplar index`",
    ),
    "older catalog": (
        lambda store: in_catalog(store, "DROP TABLE alembic_version"),
        "ConfigurationError",
        "make one with `xemplar index`",
    ),
    "catalog of the release before": (
        lambda store: in_catalog(store, "UPDATE alembic_version SET version_num = '0001'"),
        "Mismatch",
        "run `xemplar upgrade`",
    ),
    "newer catalog": (
        lambda store: in_catalog(store, "UPDATE alembic_version SET version_num = '9999'"),
        "Mismatch",
        "install the version that wrote it",
    ),
}


@pytest.mark.parametrize("command", ["serve", "query"])
@pytest.mark.parametrize("name", SPOILT)
def test_a_store_that_is_not_in_order_is_refused_in_one_line(
    run: Any, small: SmallStore, copy: Path, image: Path, name: str, command: str
) -> None:
    spoil, kind, mend = SPOILT[name]
    spoil(copy)
    named = [image] if command == "query" else []
    status, out, err = run(command, *named, "--store", copy, "--checkpoint", small.checkpoint)
    assert (status, out) == (1, "")
    assert err.startswith(f"error {kind}: ")
    assert mend in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", ["serve", "query"])
def test_a_checkpoint_that_did_not_build_the_index_is_refused_in_one_line(
    run: Any, small: SmallStore, copy: Path, image: Path, tmp_path: Path, command: str
) -> None:
    other = another_checkpoint(tmp_path, small)
    Store(copy).checkpoint(load(small.checkpoint).digest).unlink()  # else that answers
    named = [image] if command == "query" else []
    status, _, err = run(command, *named, "--store", copy, "--checkpoint", other)
    assert status == 1
    assert err.startswith("error Mismatch: the index generation")
    assert "XEMPLAR_CHECKPOINT" in err
    assert err.count("\n") == 1


def test_a_query_with_another_checkpoint_than_the_store_keeps_is_refused(
    run: Any, small: SmallStore, copy: Path, image: Path, tmp_path: Path
) -> None:
    """The store's own one would answer instead, and nothing would say so."""
    keep(small.checkpoint, Store(copy))
    other = another_checkpoint(tmp_path, small)
    status, out, err = run("query", image, "--store", copy, "--checkpoint", other)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("error Mismatch: the live generation")
    assert load(other).digest[:12] in err
    assert "xemplar reindex --checkpoint" in err
    for named in ([], ["--checkpoint", small.checkpoint]):
        assert run("query", image, "--store", copy, *named)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--checkpoint", __file__], "CorruptArtefact:"),
        (["--database", "mysql://x"], "ConfigurationError: the database URL names 'mysql'"),
    ],
)
def test_what_cannot_be_opened_is_refused_in_one_line(
    run: Any, small: SmallStore, copy: Path, arguments: list[str], message: str
) -> None:
    Store(copy).checkpoint(load(small.checkpoint).digest).unlink()  # else that answers
    options = ["--store", copy, "--checkpoint", small.checkpoint]
    status, _, err = run("serve", *options, *arguments)
    assert status == 1
    assert err.startswith(f"error {message}")
    assert err.count("\n") == 1


def test_a_setting_out_of_range_is_refused_in_one_line(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XEMPLAR_THREADS", "-1")
    status, _, err = run("serve")
    assert (status, err.count("\n")) == (1, 1)
    assert err.startswith("error ConfigurationError: XEMPLAR_THREADS is '-1'")


def comparable(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer without what differs from one time to the next."""
    text = json.dumps(answer).replace(answer["query_id"], "QUERY")
    comparable: dict[str, Any] = json.loads(text)
    comparable["timings_ms"] = list(comparable["timings_ms"])
    return comparable


def test_openapi_writes_what_the_service_says_of_itself(run: Any, client: TestClient) -> None:
    status, out, _ = run("openapi")
    assert status == 0
    assert json.loads(out) == client.get("/openapi.json").json()


def test_query_prints_what_the_service_answers(
    run: Any, client: TestClient, small: SmallStore, image: Path
) -> None:
    served = ask(client, IMAGE, k=3, finding="Mass", exclude=[])
    own = served["neighbours"][0]["case_id"]
    options = ["--store", small.store.root, "--checkpoint", small.checkpoint, "--json"]
    status, out, _ = run("query", image, "-k", 3, "--finding", "Mass", *options)
    assert status == 0
    assert comparable(json.loads(out)) == comparable(served)
    _, out, _ = run("query", image, "-k", 3, "--exclude", own, *options)
    assert own not in [near["case_id"] for near in json.loads(out)["neighbours"]]


def test_query_takes_the_services_filters(
    run: Any, client: TestClient, small: SmallStore, image: Path
) -> None:
    served = ask(
        client, IMAGE, k=4, finding="Mass", any_of=["Mass", "No Finding"], none_of="Hernia",
        sex="F", age_min=31, age_max=39, view="PA", min_similarity=0.01, diversity=0.5,
        counter_examples=2,
    )  # fmt: skip
    options = ["--store", small.store.root, "--checkpoint", small.checkpoint, "--json"]
    asked = [
        *("-k", 4, "--finding", "Mass", "--any-of", "Mass", "--any-of", "No Finding"),
        *("--none-of", "Hernia", "--sex", "F", "--age-min", 31, "--age-max", 39, "--view", "PA"),
        *("--min-similarity", 0.01, "--diversity", 0.5, "--counter-examples", 2),
    ]
    status, out, _ = run("query", image, *asked, *options)
    assert status == 0
    assert comparable(json.loads(out)) == comparable(served)
    assert 0 < served["matched"] < CASES
    assert served["counter_examples"]
    served = ask(client, IMAGE, near_duplicates="drop")
    _, out, _ = run("query", image, "--near-duplicates", "drop", *options)
    assert comparable(json.loads(out)) == comparable(served)


def test_query_takes_several_images_as_one_question(
    run: Any, client: TestClient, small: SmallStore, image: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.png"
    other.write_bytes(small.images[3])
    case = ask(client, small.images[5], k=1)["neighbours"][0]["case_id"]
    files = [("image", IMAGE), ("image", small.images[3])]
    served = client.post("/query/together", params={"k": 3, "with_case": case}, files=files).json()
    options = ["--store", small.store.root, "--checkpoint", small.checkpoint, "-k", 3]
    asked = ["query", image, "--with-image", other, "--with-case", case, *options]
    status, out, _ = run(*asked, "--json")
    assert status == 0
    found = json.loads(out)
    assert [one["case_id"] for one in found["neighbours"]] == [
        one["case_id"] for one in served["neighbours"]
    ]
    assert [one["case_id"] for one in found["images"]] == [None, None, case]
    _, out, _ = run(*asked)
    assert "Ranked by 3 images" in out
    status, _, error = run(*asked, "--prior", other)
    assert status == 1
    assert "--prior and --with-image cannot be combined" in error


def test_query_shows_counter_examples_in_a_table_and_as_pictures(
    run: Any, client: TestClient, small: SmallStore, image: Path, tmp_path: Path
) -> None:
    options = ["--store", small.store.root, "--checkpoint", small.checkpoint]
    asked = ["-k", 1, "--finding", "Mass", "--counter-examples", 2, "--pictures", tmp_path / "new"]
    status, out, _ = run("query", image, *asked, *options)
    assert status == 0
    assert f"Similar past cases, of {CASES} that match" in out
    assert "Similar, without Mass" in out
    for near in ask(client, IMAGE, k=1, finding="Mass", counter_examples=2)["counter_examples"]:
        assert near["case_id"] in out
        assert (tmp_path / "new" / f"counter-{near['rank']:03d}-{near['case_id']}.jpg").is_file()


def test_query_shows_a_person_the_ranked_cases(
    run: Any, client: TestClient, small: SmallStore, image: Path
) -> None:
    options = ["--store", small.store.root, "--checkpoint", small.checkpoint]
    status, out, _ = run("query", image, *options)
    assert status == 0
    for near in ask(client, IMAGE)["neighbours"]:
        assert near["case_id"] in out
    assert "Research use, not for diagnosis." in out


def test_query_finds_cases_by_words_without_an_image(run: Any, copy: Path) -> None:
    with open_catalog(Store(copy).database_url) as catalog:
        one = catalog.cases([2])[2]
        catalog.reports.put({one.image_sha256: StoredReport("Left effusion.")})
    found = run("query", "--store", copy, "--text", "effusion of kowalski", "--json")[1]
    answer = json.loads(found)
    assert [near["case_id"] for near in answer["neighbours"]] == [one.case_id]
    assert "query_id" not in answer
    table = run("query", "--store", copy, "--text", "effusion of kowalski")[1]
    assert one.case_id in table
    assert "kowalski" in table


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "an image, or words in text"),
        (["--text", "effusion", "--finding", "Mass"], "finding cannot be used without an image"),
        (["--text", "effusion", "--pictures", "new"], "--pictures needs an image"),
    ],
)
def test_a_query_without_an_image_says_what_it_lacks(
    run: Any, copy: Path, options: list[str], message: str
) -> None:
    status, _, said = run("query", "--store", copy, *options)
    assert status != 0
    assert message in said


def test_query_says_that_the_image_is_in_the_archive(
    run: Any, client: TestClient, small: SmallStore, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.dcm"
    copy.write_bytes(dicom(drawn_image(3)))
    own = ask(client, small.images[3])["archived_as"]
    status, out, _ = run(
        "query", copy, "--store", small.store.root, "--checkpoint", small.checkpoint
    )
    assert status == 0
    assert f"as case {own}." in out


def test_query_writes_pictures_into_a_new_folder(
    run: Any, client: TestClient, small: SmallStore, image: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "answer"
    options = ["--store", small.store.root, "--checkpoint", small.checkpoint]
    assert run("query", image, "-k", 2, "--pictures", folder, *options)[0] == 0
    served = ask(client, IMAGE, k=2)
    expected = {"query.jpg": served["image_url"], "query-overlay.jpg": served["overlay_url"]}
    for near in served["neighbours"]:
        name = f"{near['rank']:03d}-{near['case_id']}"
        expected[f"{name}.jpg"] = near["image_url"]
        for kind in ("overlay", "evidence", "query_evidence"):
            expected[f"{name}-{kind.replace('_', '-')}.jpg"] = near[f"{kind}_url"]
    assert {path.name for path in folder.iterdir()} == {*expected, "sheet.jpg"}
    for name, url in expected.items():
        assert (folder / name).read_bytes() == client.get(url).content
    with Image.open(folder / "sheet.jpg") as sheet:
        assert (sheet.format, sheet.mode) == ("JPEG", "RGB")
    status, _, err = run("query", image, "--pictures", folder, *options)
    assert status == 2
    assert "exists already" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["IMAGE", "--age-min", "9", "--age-max", "8"], "InvalidArgument: age_min is 9, which"),
        (["IMAGE", "--exclude", "me"], "InvalidArgument: exclude.0 is 'me'"),
        (["IMAGE", "--indexed-since", "1e9"], "InvalidArgument: indexed_since is '1e9'"),
        (["IMAGE", "--any-of", "Gout"], "UnknownFinding: unknown finding 'Gout'"),
        (["IMAGE", "--finding", "Gout"], "UnknownFinding: unknown finding 'Gout'"),
        (["IMAGE", "--exclude", "0" * 16], "NotFound: there is no case"),
        ([__file__], "UnreadableImage: this is no PNG"),
    ],
)
def test_a_query_that_cannot_be_answered_says_why_in_one_line(
    run: Any, small: SmallStore, image: Path, arguments: list[str], message: str
) -> None:
    options = ["--store", small.store.root, "--checkpoint", small.checkpoint]
    named = [str(image) if a == "IMAGE" else a for a in arguments]
    status, out, err = run("query", *named, *options)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(f"error {message}")


@pytest.mark.parametrize("name", ["[red]x[/]", "[/closing]"])
def test_query_shows_the_name_of_a_source_as_it_is_written(
    run: Any, own: SmallStore, image: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with open_catalog(own.store.database_url) as catalog:
        for case in catalog.cases(range(2 * CASES)).values():
            catalog.describe(case.case_id, {"source": name, "view": "\x1b[2J"})
    status, out, _ = run("query", image, "--store", own.store.root, "--checkpoint", own.checkpoint)
    assert status == 0
    assert name in out
    assert r"\x1b[2J" in out
    assert "\x1b[2J" not in out


def test_libraries_have_one_thread_each_unless_the_user_says_otherwise(
    own: SmallStore, image: Path
) -> None:
    code = """
import sys
from xemplar.__main__ import main
try:
    main()
finally:
    from threadpoolctl import threadpool_info
    pools = threadpool_info()
    assert {"blas", "openmp"} <= {pool["user_api"] for pool in pools}, pools
    print("threads", *(pool["num_threads"] for pool in pools), file=sys.stderr)
"""
    clean = {name: value for name, value in os.environ.items() if name not in THREADS}
    run = subprocess.run(
        [sys.executable, "-c", code, "query", str(image), "--store", str(own.store.root)],
        env=clean | {"OMP_NUM_THREADS": "2"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    # BLAS has one, OpenMP what the user says; without a word it has one too: test_environment.py
    assert set(run.stderr.rpartition("threads")[2].split()) == {"1", "2"}
