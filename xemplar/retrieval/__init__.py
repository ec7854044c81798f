"""Retrieval: finds similar cases for a radiograph, with evidence."""
