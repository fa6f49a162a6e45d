"""What a model is asked about each sample, settled before anything is loaded: fields, length, examples."""
