"""PROGRAM: xemplar in a hospital's own paths. Results of a query become DICOM objects of its study.

results      header of the query's image + `xemplar.retrieval.result.Answer` -> DICOM objects
outbox       received images and results, on disk until they are done with
fetch        images of an archive become cases
listen       a DICOM node: images in by C-STORE, results out to the archive
settings     of the node; address, tls: of the archive, and how connections are encrypted
conformance  SOP classes and transfer syntaxes of the node
metrics      of the node, for Prometheus
cli          ``xemplar dicom``
"""
