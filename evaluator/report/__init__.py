"""Sections -> a folder with report.html, report.json, CSV files and pictures, whole or absent."""
