"""Shortcut learning: the network's AUC from parts of the image, and from view, sex and age."""
