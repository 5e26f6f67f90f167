"""The former name of `convergence tenants onboard`: `python scripts/onboard_tenant.py --tenant-id=ID [OPTIONS]`."""

import argparse

from convergence_command import replace_with

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, epilog="The other options are those of the command.")
    parser.add_argument("--tenant-id", required=True, metavar="ID")
    known, options = parser.parse_known_args()
    replace_with("tenants", "onboard", known.tenant_id, *options)
