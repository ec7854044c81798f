"""A real PACS: Orthanc with its DICOMweb plugin, on the loopback, in a folder of its own."""

import json
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

from tests.agreement import PATIENCE
from tests.system.common import free_port

ORTHANC = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


class NoOrthanc(Exception):
    """Orthanc or its plugin is not installed; the message says how to install it."""


class Orthanc:
    """An Orthanc that is started on entry and stopped on exit.

    Attributes:
        title: its AE title.
        port: port of its DICOM service.
        url: address of its HTTP service.
    """

    title = "ORTHANC"

    def __init__(self, folder: Path, **configuration: Any) -> None:
        """Write its configuration below a folder, with further entries of it.

        Raises:
            NoOrthanc: it is not installed.
        """
        if ORTHANC is None or not PLUGIN.exists():
            raise NoOrthanc("no Orthanc here: apt-get install orthanc orthanc-dicomweb")
        self.port, http = free_port(), free_port()
        self.url = f"http://127.0.0.1:{http}"
        self._configuration = folder / "orthanc.json"
        self._log = folder / "orthanc.log"
        self._configuration.write_text(
            json.dumps(
                {
                    "StorageDirectory": str(folder / "storage"),
                    "HttpPort": http,
                    "DicomPort": self.port,
                    "DicomAet": self.title,
                    "RemoteAccessAllowed": False,
                    "AuthenticationEnabled": False,
                    "OverwriteInstances": False,
                    "Plugins": [str(PLUGIN)],
                    "DicomWeb": {"Enable": True},
                }
                | configuration
            )
        )

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(ORTHANC), str(self._configuration)], stdout=log, stderr=subprocess.STDOUT
            )
        until = time.monotonic() + PATIENCE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                self.__exit__(None, None, None)
                raise RuntimeError(self._log.read_text(errors="replace")[-2000:])
            time.sleep(0.05)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE)

    def rest(self, path: str) -> Any:
        """What its own HTTP interface says at an address, parsed."""
        return httpx2.get(f"{self.url}{path}", timeout=PATIENCE).raise_for_status().json()

    def file(self, instance: str) -> bytes:
        """The file of an instance, by Orthanc's id of it."""
        return (
            httpx2.get(f"{self.url}/instances/{instance}/file", timeout=PATIENCE)
            .raise_for_status()
            .content
        )

    def empty(self) -> None:
        """Delete everything in it."""
        for patient in self.rest("/patients"):
            httpx2.delete(f"{self.url}/patients/{patient}", timeout=PATIENCE).raise_for_status()

    def _answers(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/system").status_code == 200
        except httpx2.TransportError:
            return False
