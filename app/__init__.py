"""PROGRAM: the service. ``POST /query`` answers with similar cases and why they are similar.

settings -> main (lifespan) -> limits -> routes -> questions -> upload -> wire -> schemas

`problems` turns errors into problem+json; `table` and `sheet` show an answer without the web page.
"""
