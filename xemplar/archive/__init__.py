"""Files of a store: paths, permissions, stored images, atomically written artefacts."""
