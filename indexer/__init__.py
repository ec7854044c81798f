"""PROGRAM: batch jobs that turn data sets into a catalog, pictures and a published index."""
