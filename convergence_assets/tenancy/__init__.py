"""What a tenant's files say, and which tenants are served."""
