"""PROGRAM: measures both explanations, by example and by saliency, with chance beside each figure.

Five studies over a checkpoint, an index and a data set. Folders read in the order of the flow::

    boxes.py          radiologists' boxes, from four forms of files
    data.py       images of the data set, encoded once; the indexed cases they are compared with
    ranking/          are the similar cases similar? by labels, by experts, by severity
    localisation/     do the maps lie where radiologists drew boxes?
    faithfulness/     do the maps say what the network does? Quantus, randomisation, masking
    classification.py what does the network know of such images at all? AUC by finding
    shortcuts/        what does it read that is no finding? corners, borders; view, sex and age
    report/           what they found -> report.html, report.json, CSVs, in a folder whole or absent
"""
