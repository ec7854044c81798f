"""Index generations in a Milvus server (extra ``milvus``), for archives that outgrow one machine."""
