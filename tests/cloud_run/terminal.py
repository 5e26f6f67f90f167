"""The real gcloud, which reaches the API on loopback alone."""

import os
import subprocess
from pathlib import Path

import yaml

from tests.clean_environment import clean_environment
from tests.cloud_run.gcloud_api import PROJECT, REGION, GcloudApi
from tests.cloud_run.manifests import ROOT, manifests


class Terminal:
    """That of somebody who is logged in to Google Cloud, in a folder with the manifests."""

    def __init__(self, folder: Path, api: GcloudApi) -> None:
        self.api = api
        self.folder = folder
        (folder / "token").write_text("a token")
        # Google's Python has its own packages.
        self._environ = {name: value for name, value in clean_environment().items() if not name.startswith("PYTHON")} | {
            "PATH": f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}", "HOME": str(folder),
            "CLOUDSDK_CONFIG": str(folder / "gcloud"), "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(folder / "token"),
            "CLOUDSDK_CORE_PROJECT": PROJECT, "CLOUDSDK_RUN_REGION": REGION, "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
            "CLOUDSDK_PROXY_TYPE": "http_no_tunnel", "CLOUDSDK_PROXY_ADDRESS": "127.0.0.1",
            "CLOUDSDK_PROXY_PORT": str(api.port), "CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN": "http://run.test/",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDRESOURCEMANAGER": "http://projects.test/",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING": "http://logging.test/",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER": "http://secrets.test/",
        }  # fmt: skip

    def tried(self, line: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line], cwd=self.folder, env=self._environ | more,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
        )  # fmt: skip

    def run(self, line: str, **more: str) -> str:
        done = self.tried(line, **more)
        assert done.returncode == 0, f"{line}\n{done.stdout}"
        return done.stdout

    def written(self, name: str, **changes: str) -> Path:
        """A manifest with other text in it."""
        text = yaml.safe_dump(manifests()[name])
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        file = self.folder / f"{name}.yaml"
        file.write_text(text)
        return file
