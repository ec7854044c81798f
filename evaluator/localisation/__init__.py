"""Localisation of maps against radiologists' boxes, with three baselines."""
