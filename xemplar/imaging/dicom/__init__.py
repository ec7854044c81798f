"""DICOM: headers, stored values, codecs, windowing."""
