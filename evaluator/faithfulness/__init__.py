"""Do the maps say what the network does? Modules in the order of the flow.

==================  ============================================================================
samples.py            which images, which finding of each, and where radiologists drew it
quantus_network.py  the network and its Grad-CAM, as Quantus asks for them
quantus_metrics.py  Quantus: does Grad-CAM hold still, hit the boxes, lower the probability?
cascade.py          is the map gone when the network's weights are? a gate of the release
perturbation.py     XAITK, beside which similarity evidence is judged
masking.py          does a similarity go where its evidence goes?
tables.py           the figures, as the report prints them
words.py            what they say, in sentences for a radiologist
pictures.py         curves, and maps of a network that is forgetting
study.py            all of it -> Section
==================  ============================================================================
"""
