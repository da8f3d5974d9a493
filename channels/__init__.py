"""How to talk to each provider. A leaf package: it knows providers and nothing about the gateway."""
