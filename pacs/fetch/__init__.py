"""Back-indexing of an archive: ``xemplar dicom fetch``.

query      what is fetched: modalities, part of the body, dates
archive    the archive's DICOMweb service: studies, their images, an image's file (QIDO-RS, WADO-RS)
multipart  the file in an answer of WADO-RS
pace       images a second, and the hours of the day
journal    what was fetched before, by keyed digests
fetching   archive + journal -> images for the index job
"""
