"""The pages of the API's documentation load nothing from elsewhere."""

import re

import pytest

from tests.api.service import Service


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_a_page_and_all_that_it_loads_are_served_from_here(fresh: Service, page: str) -> None:
    shown = fresh.client.get(page)
    assert shown.status_code == 200
    loaded = re.findall(r"""(?:src|href)=["']([^"']+)["']""", shown.text)
    assert len(loaded) >= 2
    for path in loaded:
        assert path.startswith("/"), path
        answer = fresh.client.get(path)
        assert (answer.status_code, len(answer.content) > 1000) == (200, True), path
    assert "//" not in re.sub(r"<script[^>]*>.*?</script>|<!--.*?-->", "", shown.text, flags=re.DOTALL)
