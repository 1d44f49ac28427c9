"""Named presets: TOML overlays over the defaults of :mod:`trainers.settings`."""
