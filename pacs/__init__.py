"""PROGRAM: xemplar in a hospital's own paths. Results of a query become DICOM objects of its study.

results   header of the query's image + `xemplar.retrieval.result.Answer` -> DICOM objects
cli       ``xemplar dicom``
"""
