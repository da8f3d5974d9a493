"""How to talk to each provider. A leaf package: it knows nothing of the gateway."""
