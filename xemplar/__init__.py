"""Find past chest X-rays similar to a new one, and show why.

Read the modules in the order of the data::

    radiograph  ->  preprocess  ->  encoder   ->  index     ->  explain   ->  overlay
    bytes           tensor          Features      neighbours    evidence      pictures

`retriever` runs that whole line for one film; `checkpoint`, `findings`, `datasets`, `catalog`
and `phantom` are what it stands on. Research use, not for diagnosis.
"""

from importlib.metadata import version

__version__ = version("xemplar")
