"""Archive watch: whether what arrives still looks like what is indexed, and what moved.

::

    arrivals.py    the catalog -> reference and window: embeddings, views, ages, exposure
    drift.py       reference and window -> drift of each view, by name; pure numpy
    metrics.py     drift as Prometheus metrics
    cli.py         ``xemplar watch``
"""
