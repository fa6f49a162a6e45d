"""The registry: models, datasets, prompts, decodings and recipes, from registry.toml to specs."""
