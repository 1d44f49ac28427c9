"""Hidden units of networks: layers, their symmetries, and matching two networks' units."""
