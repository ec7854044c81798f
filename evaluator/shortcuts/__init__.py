"""What does the network read that is no finding? Parts of the image alone; view, sex and age."""
