"""Reports in English on chest radiographs: free of identity, and read with their negations."""
