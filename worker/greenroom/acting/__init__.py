"""Acting: policies meet environments; every environment of an actor shares one forward pass."""
