"""Reader studies: readers judge the same films with and without similar cases.

Modules in the order of a study::

    protocol.py       arms, readers, question, washout, from a TOML file
    roe_metz.py       simulated studies; power.py: how many readers and films a study needs
    plan.py           films, cases and sessions of each reader, locked by a digest
    readings.py       what the readers said, as arrays
    areas.py          AUC by arm and reader, with covariances (DeLong, jackknife)
    significance.py   difference of arms for new readers and new films (Obuchowski-Rockette-Hillis)
    agreement.py      agreement of the readers; trust.py: what wrong cases do to them
    study.py          all of it as a report
"""
