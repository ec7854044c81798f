"""Synthetic chest radiographs with exact ground truth, for the demo and for tests.

An analytic thorax is projected along parallel rays with Beer-Lambert attenuation. Organs are solids
whose chords have closed forms; bones and vessels are drawn as ribbons of known thickness.
The modules, in the order in which an image is made::

    person   ->  grid             ->  thorax     ->  lesion    ->  radiograph            ->  dataset
    anatomy      projection grid      thickness      findings      exposure, ground truth    files

Frames: *patient* millimetres, x to the patient's left (the picture's right), y towards the feet,
z towards the back, origin at the hila; *pixels*, column and row of the image, (0, 0) at the top
left corner of the top left pixel. Every map is float32 of shape (size, size) in millimetres of
water unless it says otherwise. Anatomy, noise and each finding draw from random streams of their
own, so two phantoms with the same seed differ only in their lesions.
"""

from xemplar.phantom.dataset import write_phantoms
from xemplar.phantom.lesion import FINDINGS, PlacedFinding
from xemplar.phantom.radiograph import Phantom, phantom

__all__ = ["FINDINGS", "Phantom", "PlacedFinding", "phantom", "write_phantoms"]
