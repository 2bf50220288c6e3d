"""Expiry, grace and what is kept for how long, by a clock that the tests move."""

from .server import App, Server

DAY_MS = 24 * 3600 * 1000


def test_a_hold_ends_with_its_ttl_and_grace_and_the_balance_comes_back(server: Server, app: App) -> None:
    held = app.held(100, ttl_ms=10_000, grace_period_ms=5_000)
    assert app.balance()["reserved"] == 100
    server.advance(14_000)
    assert app.get(f"reservations/{held}").json()["status"] == "ACTIVE"
    server.advance(2_000)
    assert app.balance() == {"remaining": 1000, "reserved": 0, "spent": 0, "allocated": 1000}
    assert app.get(f"reservations/{held}").status_code == 410
    [row] = app.get("reservations", status="EXPIRED").json()["reservations"]
    assert row["reservation_id"] == held
    assert "finalized_at_ms" not in row


def test_within_grace_a_hold_is_committed_but_not_extended(server: Server, app: App) -> None:
    held = app.held(100, ttl_ms=10_000, grace_period_ms=5_000)
    server.advance(12_000)
    assert app.extend(held, 60_000).json()["error"] == "RESERVATION_EXPIRED"
    assert app.commit(held, 40).json()["charged"]["amount"] == 40


def test_after_grace_neither_commit_nor_release_nor_extend_is_taken(server: Server, app: App) -> None:
    held = app.held(100, ttl_ms=1_000, grace_period_ms=0)
    server.advance(2_000)
    answers = [app.commit(held, 40), app.release(held), app.extend(held, 1_000)]
    assert [answer.status_code for answer in answers] == [410, 410, 410]
    assert app.balance()["spent"] == 0


def test_an_extension_counts_from_the_expiry_and_passes_the_maximum_ttl(server: Server) -> None:
    app = App(server, max_reservation_ttl_ms=20_000)
    first = app.reserve(100, ttl_ms=60_000).json()
    assert first["remaining_ttl_ms"] == 20_000
    later = app.extend(first["reservation_id"], 60_000).json()
    assert later["expires_at_ms"] == first["expires_at_ms"] + 60_000


def test_the_tenant_sets_how_often_a_hold_is_extended(server: Server) -> None:
    app = App(server, max_reservation_extensions=2)
    held = app.held(100)
    assert [app.extend(held, 1_000).status_code for _ in range(3)] == [200, 200, 409]


def test_an_extended_hold_outlives_its_first_expiry(server: Server, app: App) -> None:
    held = app.held(100, ttl_ms=10_000, grace_period_ms=0)
    app.extend(held, 10_000)
    server.advance(15_000)
    assert app.commit(held, 100).status_code == 200


def test_a_repeated_reserve_tells_the_time_that_is_left_now(server: Server, app: App) -> None:
    held = app.held(100, ttl_ms=60_000, idempotency_key="k")
    server.advance(20_000)
    left = app.reserve(100, ttl_ms=60_000, idempotency_key="k").json()["remaining_ttl_ms"]
    assert 30_000 < left <= 40_000
    app.release(held)
    assert app.reserve(100, ttl_ms=60_000, idempotency_key="k").json()["remaining_ttl_ms"] == 0


def test_a_key_of_a_reserve_is_free_again_after_a_day(server: Server, app: App) -> None:
    first = app.held(100, idempotency_key="k")
    server.advance(DAY_MS - 1_000)
    assert app.held(100, idempotency_key="k") == first
    server.advance(2_000)
    assert app.held(100, idempotency_key="k") != first


def test_a_key_of_an_event_is_kept_for_seven_days(server: Server, app: App) -> None:
    app.event(10, idempotency_key="k")
    server.advance(7 * DAY_MS - 1_000)
    app.event(10, idempotency_key="k")
    assert app.balance()["spent"] == 10
    server.advance(2_000)
    app.event(10, idempotency_key="k")
    assert app.balance()["spent"] == 20


def test_a_finished_reservation_is_forgotten_after_thirty_days(server: Server, app: App) -> None:
    held = app.held(100)
    app.commit(held, 10)
    server.advance(29 * DAY_MS)
    assert app.get(f"reservations/{held}").status_code == 200
    server.advance(2 * DAY_MS)
    assert app.get(f"reservations/{held}").status_code == 404
    assert app.balance()["spent"] == 10


def test_an_api_key_lives_for_ninety_days(server: Server, app: App) -> None:
    server.advance(91 * DAY_MS)
    answer = app.reserve(1)
    assert (answer.status_code, answer.json()["message"]) == (401, "KEY_EXPIRED")
