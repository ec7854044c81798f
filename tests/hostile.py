"""Films that would hold up whoever decodes them, and a decoder that some of them drive anywhere."""

import io
import sys

from PIL import Image

from tests.films import drawn_film, encoded

FILM = encoded(drawn_film(60, 300, 200))
"""A film like others; what follows the end of a PNG is not looked at."""

ENDLESS = FILM + b"for ever"
GREEDY = FILM + b"all memory"
CRASHING = FILM + b"crash"

DRIVEN = """
import os
from xemplar.radiograph import worker

decode = worker.decode

def driven(data, limits=None):
    while data.endswith(b"for ever"):
        pass
    taken = []
    while data.endswith(b"all memory"):
        taken.append(bytes(2**22))
    if data.endswith(b"crash"):
        os.abort()
    return decode(data, limits)

worker.decode = driven
worker.main()
"""

COMMAND = (sys.executable, "-I", "-c", DRIVEN)
"""In the place of ``pool.COMMAND``: workers whose decoder those films drive."""


def scans_without_end(count: int) -> bytes:
    """A progressive JPEG whose last scan stands there so many times."""
    file = io.BytesIO()
    Image.fromarray(drawn_film(3, 1024, 1024)).save(file, "JPEG", progressive=True, quality=1)
    data = file.getvalue()[:-2]
    return data + data[data.rfind(b"\xff\xda") :] * count + b"\xff\xd9"
