"""Table of answers to requests with an idempotency key."""

from django.db import models


class KeptAnswer(models.Model):
    """The answer to a request with an idempotency key.

    `id` is a hash of tenant and key, `fingerprint` one of the request. `answer` is encrypted, with the settlements, and
    empty until a call is charged. After `lease_until` another process may complete the request; None: it is complete.
    `owner` is random, for each request that runs.
    """

    id = models.CharField(max_length=64, primary_key=True)
    fingerprint = models.CharField(max_length=64)
    owner = models.CharField(max_length=32, db_index=True)
    answer = models.TextField(default="")
    lease_until = models.DateTimeField(null=True, db_index=True)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "kept_answers"
