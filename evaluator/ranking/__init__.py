"""Are the similar cases similar? By labels, by severity, by experts; and how sure is a cosine?"""
