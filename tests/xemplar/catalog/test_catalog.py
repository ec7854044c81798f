"""The catalog's questions and changes, on SQLite and PostgreSQL alike."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from sqlalchemy import text

from xemplar.catalog import Case, Catalog, Description, Entry, GenerationRecord, Generations
from xemplar.data.findings import NO_FINDING
from xemplar.errors import CaseIdTaken, CorruptArtefact, InvalidArgument, NotFound

ONE, OTHER = "1" * 64, "2" * 64


def digest(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def entry(number: int, *, size: int = 8, **described: object) -> Entry:
    rng = np.random.default_rng(number)
    vector = rng.random(size, dtype=np.float32)
    fields = {"source": "set", "file": f"{number}.png"} | described
    return Entry(
        image_sha256=digest(number),
        description=Description(**fields),  # type: ignore[arg-type]
        height=300 + number,
        width=200,
        spacing_mm=(0.14, 0.15),
        photometric="MONOCHROME1",
        vector=vector / np.linalg.norm(vector),
        logits=rng.normal(size=3).astype(np.float32),
        cams=rng.random((3, 2, 2)),
    )


def the_case(catalog: Catalog, number: int) -> Case:
    return catalog.case(digest(number)[:16])


def test_a_case_comes_back_as_it_went_in(catalog: Catalog) -> None:
    labels = {"Mass": 1, "Effusion": 0, "Edema": -1}
    put = entry(1, patient="p" * 16, view="PA", sex="F", age=63, labels=labels, split="train")
    catalog.add(ONE, [put])
    case = the_case(catalog, 1)
    assert case.case_id == digest(1)[:16]
    assert case.image_sha256 == digest(1)
    assert (case.source, case.file, case.patient) == ("set", "1.png", "p" * 16)
    assert (case.view, case.sex, case.age, case.split) == ("PA", "F", 63, "train")
    assert case.labels == labels
    assert case.findings == ("Mass",)
    assert (case.height, case.width, case.spacing_mm) == (301, 200, (0.14, 0.15))
    assert case.photometric == "MONOCHROME1"
    assert case.created_at.tzinfo is UTC
    assert abs(case.created_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert catalog.cases([case.id, 10**9]) == {case.id: case}


def test_two_images_never_share_a_case_id(catalog: Catalog) -> None:
    catalog.add(ONE, [entry(1, source="first")])
    alike = replace(entry(2), image_sha256=digest(1)[:16] + "0" * 48)
    with pytest.raises(CaseIdTaken, match=f"another image is case {digest(1)[:16]}"):
        catalog.add(ONE, [entry(3), alike])
    with pytest.raises(CaseIdTaken):
        catalog.find_image(alike.image_sha256)
    assert catalog.count() == 1
    assert the_case(catalog, 1).source == "first"


def test_findings_of_unlabelled_and_of_healthy_images(catalog: Catalog) -> None:
    catalog.add(ONE, [entry(1), entry(2, labels={"Mass": 0})])
    assert the_case(catalog, 1).findings == ()
    assert the_case(catalog, 2).findings == (NO_FINDING,)


def test_arrays_come_back_bit_for_bit_in_the_order_of_ids(catalog: Catalog) -> None:
    entries = [entry(number) for number in range(11)]
    catalog.add(ONE, entries[:6])
    catalog.add(OTHER, [entries[2]])
    catalog.add(ONE, entries[6:])
    batches = list(catalog.vectors(ONE, size=4))
    assert [len(batch.ids) for batch in batches] == [4, 4, 3]
    ids = np.concatenate([batch.ids for batch in batches])
    assert (np.diff(ids) > 0).all()
    np.testing.assert_array_equal(ids, catalog.embedded_ids(ONE))
    by_digest = {e.image_sha256: e for e in entries}
    for batch in batches:
        for place, case in enumerate(catalog.cases(batch.ids)[int(n)] for n in batch.ids):
            put = by_digest[case.image_sha256]
            np.testing.assert_array_equal(batch.vectors[place], put.vector)
            np.testing.assert_array_equal(batch.logits[place], put.logits)
            np.testing.assert_array_equal(batch.cams[place], put.cams.astype(np.float16))


def test_adding_again_changes_nothing(catalog: Catalog) -> None:
    catalog.add(ONE, [entry(1), entry(1), entry(2)])
    before = the_case(catalog, 1), the_case(catalog, 2)
    catalog.add(ONE, [entry(1), entry(2)])
    assert (the_case(catalog, 1), the_case(catalog, 2)) == before
    assert catalog.count() == catalog.count(ONE) == 2


def test_two_checkpoints_share_a_case(catalog: Catalog) -> None:
    catalog.add(ONE, [entry(1)])
    catalog.add(OTHER, [entry(1), entry(2)])
    assert (catalog.count(), catalog.count(ONE), catalog.count(OTHER)) == (2, 1, 2)
    assert catalog.embedded(ONE) == {digest(1)}
    assert catalog.embedded(OTHER) == {digest(1), digest(2)}
    assert catalog.embedded("3" * 64) == frozenset()
    assert list(catalog.vectors("3" * 64)) == []


def test_a_newer_label_file_wins_and_what_the_header_told_stays(catalog: Catalog) -> None:
    catalog.add(ONE, [entry(1, labels={"Mass": 1}, age=60, view="AP", sex="F")])
    created = the_case(catalog, 1).created_at
    catalog.add(ONE, [entry(1, source="new", labels={"Mass": 0}, split="test", sex="M")])
    case = the_case(catalog, 1)
    assert (case.source, case.labels, case.split) == ("new", {"Mass": 0}, "test")
    assert (case.view, case.sex, case.age) == ("AP", "M", 60)
    assert case.created_at == created


def test_a_plain_folder_overrides_no_label_file(catalog: Catalog) -> None:
    catalog.add(ONE, [entry(1, labels={"Mass": 1}, patient="p" * 16)])
    before = the_case(catalog, 1)
    plain = Description(source="folder")
    catalog.add(ONE, [entry(1, source="folder", file=None)], [(digest(1), plain)])
    assert the_case(catalog, 1) == before


def test_describing_without_embedding(catalog: Catalog) -> None:
    catalog.add(ONE, [entry(1, view="AP", sex="F", age=60), entry(2)])
    described = Description(source="new", file="n", labels={"Edema": 1}, age=5)
    catalog.add(
        ONE, [entry(3)], [(digest(1), described), (digest(3), described), ("f" * 64, described)]
    )
    for number in (1, 3):
        case = the_case(catalog, number)
        assert (case.source, case.file, case.labels, case.age) == ("new", "n", {"Edema": 1}, 5)
    assert (the_case(catalog, 1).view, the_case(catalog, 1).sex) == ("AP", "F")
    assert the_case(catalog, 2).source == "set"
    assert catalog.count() == 3


def test_an_unknown_case_is_not_found(catalog: Catalog) -> None:
    with pytest.raises(NotFound, match="no case 'nobody'"):
        catalog.case("nobody")
    assert catalog.cases([]) == {}


def test_the_cases_of_a_patient(catalog: Catalog) -> None:
    catalog.add(ONE, [entry(1, patient="a"), entry(2, patient="b"), entry(3, patient="a")])
    ids = catalog.patient_ids("a")
    assert [catalog.cases(ids)[i].file for i in ids] == ["1.png", "3.png"]
    assert catalog.patient_ids("c") == ()


def test_removing_takes_the_embeddings_along_and_frees_no_id(catalog: Catalog) -> None:
    catalog.add(ONE, [entry(1), entry(2)])
    last = the_case(catalog, 2).id
    assert catalog.remove([digest(2)[:16], "nobody"]) == 1
    assert (catalog.count(), catalog.count(ONE)) == (1, 1)
    catalog.add(ONE, [entry(3)])
    assert the_case(catalog, 3).id > last


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("vector", np.full(8, np.nan, np.float32), "instead of 1"),
        ("vector", np.zeros(8, np.float32), "instead of 1"),
        ("vector", np.ones((1, 8), np.float32), r"vector \(C,\)"),
        ("logits", np.full(3, np.inf, np.float32), "not finite"),
        ("cams", np.zeros((2, 2, 2)), r"cams \(F, g, g\)"),
        ("cams", np.full((3, 2, 2), np.nan), "not finite"),
        ("cams", np.full((3, 2, 2), 1e6), "not finite"),
    ],
)
def test_bad_arrays_are_refused_and_nothing_is_kept(
    catalog: Catalog, field: str, value: np.ndarray, message: str
) -> None:
    bad = entry(2)
    object.__setattr__(bad, field, value)
    with pytest.raises(InvalidArgument, match=message):
        catalog.add(ONE, [entry(1), bad])
    assert catalog.count() == 0


def test_a_batch_is_whole_or_absent(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Catalog, "_put_embeddings", die)
    with pytest.raises(KeyboardInterrupt):
        catalog.add(ONE, [entry(1)])
    monkeypatch.undo()
    assert catalog.count() == 0
    catalog.add(ONE, [entry(1)])


def test_damaged_embeddings_are_refused(catalog: Catalog) -> None:
    catalog.add(ONE, [entry(1), entry(2)])
    with catalog._engine.begin() as connection:
        cut = text('UPDATE embeddings SET vector = :cut WHERE "case" = :id')
        connection.execute(cut, {"cut": b"123", "id": the_case(catalog, 2).id})
    with pytest.raises(CorruptArtefact, match="damaged"):
        list(catalog.vectors(ONE))


def test_a_change_of_shape_is_refused(catalog: Catalog) -> None:
    catalog.add(ONE, [entry(1), entry(2, size=4)])
    with pytest.raises(CorruptArtefact, match="differ in shape"):
        list(catalog.vectors(ONE, size=1))


def test_several_write_at_once(catalog: Catalog) -> None:
    def write(number: int) -> None:
        catalog.add(ONE, [entry(n) for n in range(number, number + 4)])

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, [*range(0, 24, 4), *range(0, 24, 4)]))
    assert catalog.count() == catalog.count(ONE) == 24


def test_generations_are_remembered(catalog: Catalog) -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    record = GenerationRecord("20260102T030405Z-11111111", ONE, OTHER, 17, now)
    generations = Generations(catalog.engine)
    generations.record(record)
    generations.record(record)
    assert generations.all() == (record,)
    generations.publish(record.name, lambda: None)
    (published,) = generations.all()
    assert published.published_at is not None
    assert published.published_at.tzinfo is UTC


def test_of_many_who_put_one_image_in_at_once_one_is_told_that_it_is_new(catalog: Catalog) -> None:
    with ThreadPoolExecutor(8) as pool:
        new = list(pool.map(lambda _: catalog.add(ONE, [entry(1)]), range(20)))
    assert sorted(map(len, new)) == [0] * 19 + [1]
    assert catalog.add(ONE, [entry(2), entry(1), entry(3)]) == {digest(2), digest(3)}
    assert catalog.count() == 3
