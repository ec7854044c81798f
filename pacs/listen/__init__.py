"""``xemplar dicom listen``: images come in by C-STORE, results go out to the archive.

peers       AE titles and addresses that may connect
server      associations: limits, TLS, and who is let in
receiver    C-STORE: what is kept, and the status for everything else
answering   received images are asked about, indexed, or both
node        all of it in one process
cli         the command
"""
