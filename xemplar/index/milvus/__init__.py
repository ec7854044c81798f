"""Index generations in a Milvus server (extra ``milvus``), beyond what one machine holds."""
