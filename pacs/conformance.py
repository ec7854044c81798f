"""SOP classes and transfer syntaxes of the node, as docs/conformance.md lists them."""

from collections.abc import Mapping

from pydicom.uid import (
    JPEG2000,
    UID,
    ComprehensiveSRStorage,
    ComputedRadiographyImageStorage,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

RECEIVED = (ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation)
"""SOP classes that the node stores as a service class provider.

No Secondary Captures: they are what it sends, and a rule that sends them back would go in circles.
No images for processing: a radiologist never saw them.
"""

ENCODINGS = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    JPEG2000Lossless,
    JPEG2000,
    RLELossless,
)
"""Transfer syntaxes of received images, all that `xemplar.imaging` decodes; the first that a peer
offers and that stands first here is accepted."""

OF_RESULTS: Mapping[str, tuple[str, ...]] = {
    SecondaryCaptureImageStorage: (ExplicitVRLittleEndian,),
    ComprehensiveSRStorage: (ExplicitVRLittleEndian,),
}
"""SOP classes that the node sends as a service class user, with their transfer syntaxes."""

VERIFICATION = UID("1.2.840.10008.1.1")
"""SOP class of C-ECHO."""

OF_VERIFICATION = (ImplicitVRLittleEndian, ExplicitVRLittleEndian)
"""Transfer syntaxes of C-ECHO."""
