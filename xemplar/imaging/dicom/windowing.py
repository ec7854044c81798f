"""Stored DICOM values -> displayed grey: modality LUT, VOI LUT or window, MONOCHROME1 inversion."""

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from xemplar.imaging.dicom.elements import ITEMS, items, number, numbers, text
from xemplar.imaging.dicom.lut import lookup_table
from xemplar.imaging.dicom.stored_values import Stored
from xemplar.imaging.radiograph import PERCENTILES, contrast, stretch

if TYPE_CHECKING:
    from pydicom import Dataset

FUNCTIONS = frozenset({"LINEAR", "LINEAR_EXACT", "SIGMOID"})

CLIPPED = 0.5
"""Share of black and white pixels in the centre of an image beyond which a window is unusable.

None of 600 real images exceeded one sixth."""

NARROW = 80
"""Minimum span of grey levels (of 256) after windowing; 600 radiographs had at least 103."""

PADDED = 0.5
"""Maximum share of padding in the centre of an image."""

LEVELS = 16
"""Distinct stored values below which an image has no contrast to preserve."""

Grey = npt.NDArray[np.uint8]


class Values(NamedTuple):
    """Values after the modality LUT; ``signed`` if they may be negative."""

    values: npt.NDArray[Any]
    signed: bool
    warnings: tuple[str, ...]


class Displayed(NamedTuple):
    """Result of `displayed`.

    Attributes:
        grey: uint8 (height, width), 0 black (air) to 255 white (bone).
        values: (height, width) after the modality LUT; padding has the value that is black.
        warnings: about unusable parts of the header.
    """

    grey: Grey
    values: npt.NDArray[Any]
    warnings: tuple[str, ...]


@np.errstate(over="ignore", invalid="ignore")  # unusable windows are reported as warnings
def displayed(stored: Stored, header: "Dataset") -> Displayed:
    """Map stored values to the grey values of a diagnostic display.

    DICOM PS3.3 C.11.1 (modality LUT), C.11.2 (VOI LUT), C.7.6.3.1.2 (photometric interpretation).
    Uses the first VOI LUT or window that preserves the image; if none does, the image's own
    contrast, with a warning.
    """
    padding, warnings = stored.padding, []
    if padding is not None and _middle(padding).mean() > PADDED:
        padding = None
        warnings.append(
            "the DICOM header calls most of the middle of the image padding; this was ignored"
        )
    input_ = _after_modality(stored, header)
    warnings += input_.warnings
    grey = None
    for shown, name, warning in _windows(input_, header):
        if shown is not None and _leaves_picture(shown, stored.values, padding):
            grey = shown
            warnings += [warning] if warning else []
            break
        warnings.append(f"the DICOM header's {name} leaves no picture; it was ignored")
    if grey is None:
        grey = _own_contrast(stored, input_.values, header, padding, ignored=bool(warnings))
    values, is_inverted = input_.values, stored.pixel.photometric == "MONOCHROME1"
    if is_inverted:
        grey = np.subtract(255, grey, dtype=np.uint8)
    if padding is not None:
        grey[padding] = 0
        if not padding.all():
            image = values[~padding]
            values = np.where(padding, image.max() if is_inverted else image.min(), values)
    return Displayed(grey, values, tuple(dict.fromkeys(warnings)))


def _after_modality(stored: Stored, header: "Dataset") -> Values:
    """Apply the modality LUT or the rescaling; empty or unusable ones count as absent.

    Fluoroscopy's modality LUT yields X-ray intensity, not display values (PS3.3 C.8.7.1.1.2).
    """
    values, is_signed, warnings = stored.values, stored.pixel.signed, []
    luts = [] if text(header, "Modality") == "RF" else items(header, "ModalityLUTSequence")
    for item in luts[:1]:
        table = lookup_table(item, is_signed)
        if table is not None and _keeps_levels(looked_up := table(values), values):
            return Values(looked_up, False, ())
        warnings.append("the DICOM header's modality LUT is unusable; it was ignored")
    slope, intercept = number(header, "RescaleSlope"), number(header, "RescaleIntercept")
    if slope is None and intercept is None:
        return Values(values, is_signed, tuple(warnings))
    slope, intercept = 1.0 if slope is None else slope, intercept or 0.0
    rescaled = values.astype(np.float64) * slope + intercept
    if not _keeps_levels(rescaled, values):
        warnings.append(
            f"the DICOM header's rescaling (slope {slope:g}, intercept {intercept:g}) is unusable; "
            "it was ignored"
        )
        return Values(values * np.int8(-1 if slope < 0 else 1), True, tuple(warnings))
    return Values(rescaled, is_signed or slope < 0 or intercept < 0, tuple(warnings))


def _keeps_levels(mapped: npt.NDArray[Any], values: npt.NDArray[Any]) -> bool:
    """Check that a mapping keeps enough distinct levels and finite values."""
    step = max(1, values.size // 20_000)
    before, after = values.ravel()[::step], mapped.ravel()[::step].astype(np.float32)
    levels = min(len(np.unique(before)), LEVELS)
    return len(np.unique(after)) >= levels and bool(np.isfinite(after).all())


def _windows(input_: Values, header: "Dataset") -> Iterator[tuple[Grey | None, str, str]]:
    """Yield each VOI LUT, then each window: its grey (None if unusable), name, and a warning."""
    for item in items(header, "VOILUTSequence"):
        table = lookup_table(item, input_.signed)
        if table is None:
            yield None, "VOI LUT", ""
        else:
            grey = stretch(table(input_.values), 0, 2**table.bits - 1)
            yield grey, "VOI LUT", table.warning
    function = text(header, "VOILUTFunction") or "LINEAR"
    windows = zip(numbers(header, "WindowCenter"), numbers(header, "WindowWidth"), strict=False)
    for centre, width in islice(windows, ITEMS):
        usable = function in FUNCTIONS and width >= (1 if function == "LINEAR" else 1e-6)
        shown = _through_window(input_.values, centre, width, function) if usable else None
        yield shown, f"window (centre {centre:g}, width {width:g})", ""


def _through_window(values: npt.NDArray[Any], centre: float, width: float, function: str) -> Grey:
    """Apply a window (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""
    if function == "SIGMOID":
        # beyond +-40 the sigmoid is constant at 8 bits; clipping avoids overflow
        exponent = np.clip(-4 * (np.asarray(values, np.float32) - centre) / width, -40, 40)
        return stretch(1 / (1 + np.exp(exponent)), 0, 1)
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1
    return stretch(values, centre - width / 2, centre + width / 2)


def _own_contrast(
    stored: Stored,
    values: npt.NDArray[Any],
    header: "Dataset",
    padding: npt.NDArray[np.bool_] | None,
    ignored: bool,
) -> Grey:
    """Map to grey without a window: full range up to 8 bits, percentiles for deeper values."""
    bits = stored.pixel.stored
    if bits <= 8:
        ends = np.array([[0, 2**bits - 1]]) - (2 ** (bits - 1) if stored.pixel.signed else 0)
        span = _after_modality(stored._replace(values=ends), header).values[0]
        grey = stretch(values, float(span.min()), float(span.max()))
        if not ignored or _leaves_picture(grey, stored.values, padding):
            return grey
    image = values if padding is None or padding.all() else values[~padding][None]
    return stretch(values, *contrast(image))


def _leaves_picture(
    grey: Grey, stored: npt.NDArray[Any], padding: npt.NDArray[np.bool_] | None
) -> bool:
    """Check that windowing preserves the contrast present in the stored values.

    Clipping is measured in the centre, as collimation and background may legitimately be clipped.
    """
    shown, values = _image(grey, padding), _image(stored, padding)
    if len(shown) == 0 or len(np.unique(values)) < LEVELS:
        return True
    black, white = np.percentile(shown, PERCENTILES)
    if white - black < NARROW:
        return False
    inside = None if padding is None else _middle(padding)
    shown, values = _image(_middle(grey), inside), _image(_middle(stored), inside)
    low, high = np.percentile(values, PERCENTILES) if len(values) else (0, 0)
    clipped = ((shown == 0) | (shown == 255)).mean() if len(shown) else 0
    return bool(clipped <= CLIPPED or ((values <= low) | (values >= high)).mean() >= clipped)


def _image(values: npt.NDArray[Any], padding: npt.NDArray[np.bool_] | None) -> npt.NDArray[Any]:
    """Sample of values (count,) outside the padding."""
    step = max(1, values.size // 50_000)
    some = values.ravel()[::step]
    return some if padding is None else some[~padding.ravel()[::step]]


def _middle(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    height, width = values.shape
    return values[height // 4 : -(height // 4), width // 4 : -(width // 4)]
