"""PROGRAM: measures both explanations, by example and by saliency, with chance beside each figure.

Five studies over a checkpoint, an index and a data set. Modules read in the order of the flow::

    loading.py        checkpoint, store and data set -> evaluation data
    unseen.py, leaks.py   what the checkpoint was trained on: by name; by digest and picture
    data.py           evaluation images, encoded once; the indexed cases they are compared with
    ranking/          similar cases against labels, severities and experts' ratings
    localisation/     maps against radiologists' boxes
    faithfulness/     maps against the network: Quantus, cascading randomisation, masking
    classification.py AUC by finding
    shortcuts/        AUC from corners and borders; view, sex and age from the embedding
    report/           sections -> report.html, report.json, CSVs, in a folder whole or absent
"""
