"""Table of answers to requests with an idempotency key."""

from django.db import models


class KeptAnswer(models.Model):
    """The answer to a request with an idempotency key.

    `id` is a hash of tenant and key, `fingerprint` one of the request. `state` is running, charged (in part: it won't
    run again), answered (its settlements may not be in the outbox) or booked. `answer` is encrypted, with the
    settlements. Requests that run extend `lease_until`. `owner` is random, for each request that runs.
    """

    id = models.CharField(max_length=64, primary_key=True)
    tenant = models.CharField(max_length=64)
    fingerprint = models.CharField(max_length=64)
    owner = models.CharField(max_length=32, db_index=True)
    state = models.CharField(max_length=16, db_index=True, default="running")
    answer = models.TextField(default="")
    lease_until = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "kept_answers"

    def __str__(self) -> str:
        return self.id
