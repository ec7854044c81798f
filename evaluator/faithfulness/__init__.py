"""Faithfulness of explanations to the network. Modules in the order of the flow.

==========================  ====================================================================
samples.py                  images, a finding of each, and its boxes
quantus_network.py          the network and its Grad-CAM, as Quantus needs them
quantus_metrics.py          Quantus: robustness, localisation, faithfulness and complexity
cascading_randomisation.py  randomisation of the weights, which must destroy the maps
perturbation.py             XAITK, the baseline of similarity evidence
masking.py                  deletion and insertion curves of a similarity
tables.py                   tables of the report
narrative.py                paragraphs for a radiologist
pictures.py                 curves, and maps during the randomisation
study.py                    all of it -> Section
==========================  ====================================================================
"""
