import re
from pathlib import Path

import httpx

from ..running import Emulator, installed_app


def test_static_files_are_served_before_and_after_collectstatic(tmp_path: Path, emulator: Emulator) -> None:
    app = installed_app(tmp_path, emulator.url)
    for _ in range(2):
        with app.serving(APP_ENV="production") as serving:
            page = httpx.get(f"{serving.url}/dashboard/login").text
            (path,) = re.findall(r'href="(/static/dashboard\.css)"', page)
            assert httpx.get(f"{serving.url}{path}").status_code == 200
        assert app.cli("collectstatic", "--noinput", "--verbosity", "0").returncode == 0
