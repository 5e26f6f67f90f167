"""Each environment that can be deployed on Kubernetes, and each kind of pod in it."""

import pytest

from tests.kubernetes.manifests import ENVIRONMENTS, PodTemplate
from tests.kubernetes.pods import POD_TEMPLATES, pod_template


@pytest.fixture(params=ENVIRONMENTS)
def environment(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=POD_TEMPLATES)
def template(request: pytest.FixtureRequest, environment: str) -> PodTemplate:
    return pod_template(environment, request.param)
