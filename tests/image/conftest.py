"""The tests of the image need one: `make test-image` builds it and names it in TEST_IMAGE."""

import os

collect_ignore = [] if os.environ.get("TEST_IMAGE") else ["test_image.py"]
