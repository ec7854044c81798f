"""Synthetic chest radiographs with exact ground truth, for the demo and for tests.

An analytic thorax is projected along parallel rays with Beer-Lambert attenuation. Organs are solids
whose chords have closed forms; bones and vessels are drawn as ribbons of known thickness.
The modules are read in the order in which an image is made::

    person  ->  frame  ->  thorax    ->  lesion   ->  exposure           ->  image   ->  dataset
    seed        grid       thickness     findings     noise, grey values     truth      files

Frames: *patient* millimetres, x to the patient's left (the picture's right), y towards the feet,
z towards the back, origin at the hila; *pixels*, column and row of the image, (0, 0) at the top
left corner of the top left pixel. Every map is float32 of shape (size, size) in millimetres of
water unless it says otherwise. Anatomy, noise and each finding draw from random streams of their
own, so two phantoms of one seed differ in their lesions only.
"""

from xemplar.phantom.dataset import write_phantoms
from xemplar.phantom.lesion import FINDINGS, PlacedFinding
from xemplar.phantom.radiograph import Phantom, phantom

__all__ = ["FINDINGS", "Phantom", "PlacedFinding", "phantom", "write_phantoms"]
