"""PROGRAM: offline training to a checkpoint. `xemplar train --help` tells its settings.

settings -> images -> augment -> epoch -> metrics -> calibrate -> report
                                  run ties them together and can be killed at any moment
"""
