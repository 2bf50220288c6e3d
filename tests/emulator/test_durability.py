"""kill -9 under load loses no write that was answered."""

import threading
from pathlib import Path

import httpx
import pytest

from .server import App, Server, conserved

CLIENTS = 8


def run_crash(emulator_dir: Path, data: Path, answered_before_kill: int) -> None:
    server = Server(emulator_dir, data)
    app = App(server, 10**12)
    holds: dict[str, str] = {}  # id: the status that was answered last
    enough = threading.Event()

    def client() -> None:
        with httpx.Client(base_url=server.url, headers=app.headers) as http:
            while True:
                number = next(app.numbers)
                body = {"idempotency_key": f"r{number}"} | app.request("estimate", 10)
                try:
                    held = http.post("/v1/reservations", json=body).json()["reservation_id"]
                    holds[held] = "ACTIVE"
                    if len(holds) >= answered_before_kill:
                        enough.set()
                    actual = {"idempotency_key": f"c{number}", "actual": {"unit": "USD_MICROCENTS", "amount": 7}}
                    if number % 3 and http.post(f"/v1/reservations/{held}/commit", json=actual).status_code == 200:
                        holds[held] = "COMMITTED"
                except httpx.TransportError:
                    return

    clients = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in clients:
        thread.start()
    assert enough.wait(timeout=60)
    server.kill()
    for thread in clients:
        thread.join(timeout=30)

    server = Server(emulator_dir, data)
    app.http = server.http
    for held, status in holds.items():
        found = app.get(f"reservations/{held}").json()["status"]
        assert found == status or (status == "ACTIVE" and found == "COMMITTED"), held
    snapshot = server.control("GET", "snapshot")
    conserved(snapshot)
    assert snapshot["ledgers"][0]["spent"] >= 7 * sum(status == "COMMITTED" for status in holds.values())
    server.stop()


def test_every_answered_write_survives_kill_9(emulator_dir: Path, tmp_path: Path) -> None:
    run_crash(emulator_dir, tmp_path / "state.sqlite3", 100)


@pytest.mark.long
@pytest.mark.parametrize("answered", range(50, 1050, 50))
def test_every_answered_write_survives_kill_9_at_any_time(emulator_dir: Path, tmp_path: Path, answered: int) -> None:
    run_crash(emulator_dir, tmp_path / "state.sqlite3", answered)
