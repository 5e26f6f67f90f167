"""The copy of the demo tenants' folder that the tests of tenancy have, too."""

from tests.tenancy.conftest import edit, load, tenants

__all__ = ["edit", "load", "tenants"]
