"""The Secondary Capture holds the picture, in the study of its image."""

import numpy as np
from pydicom.uid import SecondaryCaptureImageStorage
from xemplar_pacs.results.picture import answer_picture

from tests.images import drawn_image
from tests.pacs.conftest import Asked, ask
from tests.pacs.films import INSTANCE, SERIES, STUDY, film
from xemplar.retrieval.retriever import Retriever

KIND = "secondary capture"


def test_holds_the_picture_in_rgb(asked: Asked) -> None:
    capture = asked.result(KIND)
    assert capture.SOPClassUID == SecondaryCaptureImageStorage
    assert capture.PhotometricInterpretation == "RGB"
    drawn = answer_picture(asked.retriever.live, asked.retriever.media, asked.answer)
    assert np.array_equal(capture.pixel_array, drawn)


def test_is_in_the_study_in_a_series_of_its_own(asked: Asked) -> None:
    capture = asked.result(KIND)
    assert capture.StudyInstanceUID == STUDY
    assert capture.SeriesInstanceUID != SERIES
    assert capture.SeriesInstanceUID != asked.result("structured report").SeriesInstanceUID


def test_names_its_source_image(asked: Asked) -> None:
    (reference,) = asked.result(KIND).SourceImageSequence
    assert reference.ReferencedSOPInstanceUID == INSTANCE


def test_says_what_it_is_where_viewers_list_series(asked: Asked) -> None:
    assert "Research use, not for diagnosis" in asked.result(KIND).SeriesDescription


def test_says_that_pictures_in_it_were_compressed_with_loss(asked: Asked) -> None:
    assert asked.result(KIND).LossyImageCompression == "01"


def test_repeats_what_the_image_says_of_burnt_in_text(retriever: Retriever) -> None:
    said = ask(retriever, film(drawn_image(50), BurnedInAnnotation="YES"))
    assert said.result(KIND).BurnedInAnnotation == "YES"
    silent = ask(retriever, film(drawn_image(50)))
    assert "BurnedInAnnotation" not in silent.result(KIND)
