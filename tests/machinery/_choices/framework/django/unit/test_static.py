import re
from pathlib import Path

import httpx

from ..running import Emulator, installed_app


def test_static_files_are_served_before_and_after_collectstatic(tmp_path: Path, emulator: Emulator) -> None:
    app = installed_app(tmp_path, emulator.url)
    for encoding in (None, "gzip"):
        with app.serving(APP_ENV="production") as serving:
            page = httpx.get(f"{serving.url}/dashboard/login").text
            (path,) = re.findall(r'href="(/static/dashboard\.css)"', page)
            answer = httpx.get(f"{serving.url}{path}")
        assert answer.status_code == 200
        assert answer.headers.get("content-encoding") == encoding
        assert app.cli("collectstatic", "--noinput", "--verbosity", "0").returncode == 0
