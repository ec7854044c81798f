"""From a folder to a report: inspection, the study, and what a researcher takes along."""
