"""Find past chest X-rays similar to a new one, and show why.

The packages, in the order of the data flow::

    imaging.decode         bytes (PNG, JPEG, TIFF, DICOM)   -> Radiograph
    imaging.preprocess     Radiograph                       -> network input
    imaging.validation     network input, activations       -> warnings (out-of-distribution check)
    model.encoder          network input                    -> Features: maps, embedding, logits
    index                  embedding                        -> nearest neighbours
    catalog, archive       neighbours                       -> cases and their stored images
    model.explain          Features                         -> Grad-CAM, similarity evidence
    imaging.overlay        image and heatmap                -> picture

`open` opens an archive on this machine, to search it without a server. `retrieval` runs this
pipeline for a query and adds new cases. `data` reads data sets, findings and boxes; `phantom` makes
synthetic radiographs; `operations` has the API keys, jobs, audit log and ratings of a deployment;
`cli` is the command line. `api` defines the wire format and `Client`, which queries a running
service. Research use, not for diagnosis.
"""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

__version__ = version("xemplar")
__all__ = ["Client", "__version__", "open"]

if TYPE_CHECKING:
    from xemplar.api.client import Client
    from xemplar.retrieval.archive import Archive

    open = Archive.open  # noqa: A001 - read as xemplar.open
else:

    def __getattr__(name: str) -> Any:
        """Import `Client` and `open` on first access: each needs packages that the other does not.

        Without httpx2 there is no `Client`, and without the index's packages no `open`.
        """
        if name == "Client":
            from xemplar.api.client import Client

            return Client
        if name == "open":
            from xemplar.retrieval.archive import Archive

            return Archive.open
        raise AttributeError(f"module 'xemplar' has no attribute {name!r}")
