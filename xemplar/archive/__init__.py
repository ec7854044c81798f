"""Files of a store: paths, stored images, artefacts that are written whole or not at all."""
