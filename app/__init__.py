"""PROGRAM: the service. ``POST /query`` answers with similar cases and why they are similar.

settings -> main (lifespan) -> routes -> schemas; problems turns errors into problem+json
"""
