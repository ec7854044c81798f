"""DICOM objects that take an answer back into the study of the image that was asked about.

source               the image's header: what puts a result into the same study, in memory only
discretion           libraries that quote a header's values are silenced
uids                 UIDs that a repetition derives again
region               the box of a heatmap
picture              the answer as a picture, as the web page shows it
secondary_capture    that picture as a Secondary Capture, which every PACS shows
codes                coded concepts of findings and measurements
structured_report    findings and similar cases as a TID 1500 Measurement Report
objects              all of them, from the image's file and the answer
"""
