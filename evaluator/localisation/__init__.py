"""Do the maps lie where radiologists drew boxes? Against boxes, with three baselines."""
