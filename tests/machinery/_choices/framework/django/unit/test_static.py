import re
from pathlib import Path

import httpx

from ..running import Emulator, installed_app


def test_static_files_are_served_as_they_are_until_they_are_collected_and_then_kept_for_ever(
    tmp_path: Path, emulator: Emulator
) -> None:
    app = installed_app(tmp_path, emulator.url)
    for collected, name in ((False, r"dashboard\.css"), (True, r"dashboard\.[0-9a-f]{12}\.css")):
        if collected:
            assert app.cli("collectstatic", "--noinput", "--verbosity", "0").returncode == 0
        with app.serving(APP_ENV="production") as serving:
            page = httpx.get(f"{serving.url}/dashboard/login").text
            (path,) = re.findall(rf'href="(/static/{name})"', page)
            answer = httpx.get(f"{serving.url}{path}")
        assert answer.status_code == 200
        assert ("immutable" in answer.headers["cache-control"]) == collected
