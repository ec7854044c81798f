"""Operations of `Client` on reader studies."""

from urllib.parse import quote

from xemplar.api.client.connection import Connection
from xemplar.api.reader_studies import NextReadingOut, ReaderStudyList, ReaderStudyOut, ReadingIn


class ReaderStudyOperations:
    """Methods of `Client`, one for each operation on reader studies."""

    _service: Connection

    def reader_studies(self) -> list[ReaderStudyOut]:
        """Lists the open reader studies."""
        return self._service.read(ReaderStudyList, "GET", "/reader-studies").studies

    def next_reading(self, study_id: str, reader: str) -> NextReadingOut:
        """Returns the film that a reader reads next, with the cases beside it."""
        path = f"{_path(study_id, reader)}/next"
        return self._service.read(NextReadingOut, "GET", path)

    def reading_image(self, study_id: str, reader: str, number: int, side: int = 1024) -> bytes:
        """Returns the film of a reader's next reading as a JPEG."""
        path = f"{_path(study_id, reader)}/readings/{number}/image"
        return self._service.send("GET", path, params={"side": side})

    def reading_case_image(
        self, study_id: str, reader: str, number: int, place: int, side: int = 1024
    ) -> bytes:
        """Returns the case at a place, from 0, beside the film of the next reading as a JPEG."""
        path = f"{_path(study_id, reader)}/readings/{number}/cases/{place}/image"
        return self._service.send("GET", path, params={"side": side})

    def put_reading(self, study_id: str, reader: str, number: int, said: ReadingIn) -> None:
        """Saves a reader's answer about a film; it cannot be changed."""
        path = f"{_path(study_id, reader)}/readings/{number}"
        self._service.send("PUT", path, json=said.model_dump(mode="json", exclude_none=True))

    def readings_csv(self, study_id: str) -> str:
        """Exports the readings of a study as CSV."""
        path = f"/reader-studies/{quote(study_id, safe='')}/readings.csv"
        return self._service.send("GET", path).decode()


def _path(study_id: str, reader: str) -> str:
    return f"/reader-studies/{quote(study_id, safe='')}/readers/{quote(reader, safe='')}"
