"""What does the network read that is no finding? Parts of the film alone; view, sex and age."""
