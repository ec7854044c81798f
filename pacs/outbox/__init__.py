"""The outbox: received images until they are done with, and results until the archive has them.

tables      SQLite tables of the node's own database
outbox      what waits, on disk before it is acknowledged, and deleted once it is done
backoff     waits between attempts, without the clock
archive     the archive as the delivery sees it; what an attempt may end with
c_store     archive by C-STORE
stow        archive by STOW-RS
delivery    delivers results until the archive has them
cli         ``xemplar dicom outbox``
"""
