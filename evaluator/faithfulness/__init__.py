"""Do the maps say what the network does? Folders read in the order of the flow.

units.py              which films, which finding of each, and where radiologists drew it
quantus_metrics.py    Quantus: robustness, faithfulness, localisation and complexity of Grad-CAM
cascade.py            is the map gone when the network's weights are? a gate of the release
masking.py            does a similarity go where its evidence goes? beside a perturbation method
tables.py             the figures of all three, as the report prints them
words.py              what they say, in sentences for a radiologist
study.py              all of it -> Section
"""
