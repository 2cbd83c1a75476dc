"""Settings: what can be set (config.py), the presets (*.toml), and how files and flags become one Config."""
