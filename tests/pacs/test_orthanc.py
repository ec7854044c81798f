"""Results go into a real archive, into the study of their image, and once."""

from collections.abc import Callable, Iterator, Sequence
from io import BytesIO

import numpy as np
import pytest
from dicomweb_client import DICOMwebClient
from PIL import Image
from pydicom import dcmread
from pynetdicom import AE

from tests.pacs.conftest import Asked
from tests.pacs.films import INSTANCE, STUDY
from tests.pacs.variants import VARIANTS
from tests.system.orthanc import NoOrthanc, Orthanc
from xemplar.retrieval.retriever import Retriever

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    try:
        orthanc = Orthanc(tmp_path_factory.mktemp("orthanc"))
    except NoOrthanc as reason:
        pytest.skip(str(reason))
    with orthanc:
        yield orthanc


@pytest.fixture
def archive(running: Orthanc) -> Orthanc:
    """An empty archive."""
    running.empty()
    return running


def by_c_store(archive: Orthanc, files: Sequence[bytes]) -> None:
    """Send objects in one association."""
    objects = [dcmread(BytesIO(data)) for data in files]
    entity = AE("XEMPLAR")
    for one in objects:
        entity.add_requested_context(one.SOPClassUID, one.file_meta.TransferSyntaxUID)
    association = entity.associate("127.0.0.1", archive.port, ae_title=archive.title)
    assert association.is_established
    assert [association.send_c_store(one).Status for one in objects] == [0] * len(objects)
    association.release()


def by_stow(archive: Orthanc, files: Sequence[bytes]) -> None:
    """Send objects over DICOMweb."""
    client = DICOMwebClient(f"{archive.url}/dicom-web")
    stored = client.store_instances([dcmread(BytesIO(data)) for data in files])
    assert len(stored.ReferencedSOPSequence) == len(files)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("send", [by_c_store, by_stow])
@pytest.mark.parametrize("name", ["DX", "Japanese", "an empty header"])
def test_results_join_the_study_of_their_image_and_are_there_once(
    retriever: Retriever,
    archive: Orthanc,
    send: Callable[[Orthanc, Sequence[bytes]], None],
    name: str,
) -> None:
    asked: Asked = VARIANTS[name](retriever)
    send(archive, [asked.data])
    before = archive.rest("/patients?expand")
    files = [one.data for one in asked.results()]
    for _ in range(2):  # the acknowledgement was lost
        send(archive, files)

    assert archive.rest("/patients?expand")[0]["MainDicomTags"] == before[0]["MainDicomTags"]
    assert len(archive.rest("/studies")) == 1
    assert len(archive.rest("/series")) == 3
    stored = [dcmread(BytesIO(archive.file(one))) for one in archive.rest("/instances")]
    sent = [dcmread(BytesIO(data)) for data in (asked.data, *files)]
    found = {one.SOPInstanceUID: one for one in stored}
    assert found == {one.SOPInstanceUID: one for one in sent}
    assert {one.StudyInstanceUID for one in stored} == {STUDY}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_archive_renders_the_picture_as_it_was_drawn(
    retriever: Retriever, archive: Orthanc
) -> None:
    asked = VARIANTS["DX"](retriever)
    capture, _ = asked.results()
    by_c_store(archive, [asked.data, capture.data])
    drawn = dcmread(BytesIO(capture.data))
    client = DICOMwebClient(f"{archive.url}/dicom-web")
    rendered = client.retrieve_instance_rendered(
        STUDY, drawn.SeriesInstanceUID, capture.uid, media_types=("image/png",)
    )
    assert np.array_equal(np.asarray(Image.open(BytesIO(rendered))), drawn.pixel_array)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_archive_finds_the_report_and_what_it_refers_to(
    retriever: Retriever, archive: Orthanc
) -> None:
    asked = VARIANTS["DX"](retriever)
    _, report = asked.results()
    by_stow(archive, [asked.data, report.data])
    client = DICOMwebClient(f"{archive.url}/dicom-web")
    (series,) = client.search_for_series(STUDY, search_filters={"Modality": "SR"})
    read = dcmread(BytesIO(report.data))
    assert series["0020000E"]["Value"] == [read.SeriesInstanceUID]
    (study,) = read.CurrentRequestedProcedureEvidenceSequence
    (evidence,) = study.ReferencedSeriesSequence
    (image,) = evidence.ReferencedSOPSequence
    assert (study.StudyInstanceUID, image.ReferencedSOPInstanceUID) == (STUDY, INSTANCE)
    client.retrieve_instance(STUDY, evidence.SeriesInstanceUID, image.ReferencedSOPInstanceUID)
