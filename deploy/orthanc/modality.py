"""Sends DICOM files to an Orthanc, as a modality would: `modality.py URL FILE...`."""

import sys
import time
import urllib.request
from urllib.error import URLError

SECONDS = 60.0


def send(url: str, file: str) -> None:
    """Send a file; wait for an archive that is starting."""
    until = time.monotonic() + SECONDS
    with open(file, "rb") as content:  # noqa: PTH123 -- as short as it may be
        data = content.read()
    while True:
        try:
            with urllib.request.urlopen(f"{url}/instances", data) as answer:  # noqa: S310
                print(file, answer.status)
                return
        except URLError:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)


for name in sys.argv[2:]:
    send(sys.argv[1], name)
