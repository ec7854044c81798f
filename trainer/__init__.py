"""PROGRAM: offline training to a checkpoint. `xemplar train --help` lists its settings.

settings -> data, sampling -> augment, mixup -> student, losses -> epoch -> metrics -> calibration
-> report; run ties them together and can be killed at any moment
"""
