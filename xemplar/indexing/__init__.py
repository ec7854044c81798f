"""From many images to a published index, for the programs that add them in bulk.

job          images -> cases, in concurrent stages; can be killed at any time and restarted
reader       first stage: one image -> network input
copies       leaves out images that another case shows
publishing   embeddings of the catalog -> a new generation, which goes live
canary       searches a new generation before it does
"""
