"""The HTTP service: what tenants and the platform's people see and do over the network."""
