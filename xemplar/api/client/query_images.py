"""Operations of `Client` on the image of a query."""

from xemplar.api.client.connection import Connection
from xemplar.api.client.requests import path_of
from xemplar.api.maps import MatchesOut
from xemplar.api.pixels import TextOut


class QueryImageOperations:
    """Methods of `Client`, one for each operation on the image of a query."""

    _service: Connection

    def query_image(self, query_id: str, side: int = 1024) -> bytes:
        """Returns the query image as a JPEG; longest side 64 to 1024 pixels."""
        path = path_of("queries", query_id, "image")
        return self._service.send("GET", path, params={"side": side})

    def query_values(self, query_id: str) -> bytes:
        """Returns the own values of a query image of more than 8 bits.

        They are levels, uint16, little endian, row by row; `AnswerOut.values` has height and
        width, and slope and intercept, which make values of them.
        """
        return self._service.send("GET", path_of("queries", query_id, "values"))

    def query_text(self, query_id: str) -> TextOut:
        """Returns where text seems to be burnt into a query image."""
        return self._service.read(TextOut, "GET", path_of("queries", query_id, "text"))

    def query_overlay(self, query_id: str, finding: str | None = None, side: int = 512) -> bytes:
        """Returns the query image with its Grad-CAM as a JPEG.

        Args:
            query_id: id from an answer.
            finding: finding to explain; by default, the one that the answer explains.
            side: longest side in pixels, 64 to 1024.
        """
        asked = {"side": side} | ({"finding": finding} if finding else {})
        return self._service.send("GET", path_of("queries", query_id, "overlay"), params=asked)

    def query_evidence(self, query_id: str, case_id: str, side: int = 512) -> bytes:
        """Returns the similarity evidence for a case in the query image, as a JPEG."""
        path = path_of("queries", query_id, "evidence", case_id)
        return self._service.send("GET", path, params={"side": side})

    def query_matches(self, query_id: str, case_id: str) -> MatchesOut:
        """Returns how pairs of locations of the query and a case contribute to the similarity."""
        path = path_of("queries", query_id, "matches", case_id)
        return self._service.read(MatchesOut, "GET", path)
