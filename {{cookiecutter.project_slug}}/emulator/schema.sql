PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;

-- A row is a JSON document; the other columns are what it is found and sorted by, read out of it.
CREATE TABLE IF NOT EXISTS clock (document, id AS (1));
CREATE UNIQUE INDEX IF NOT EXISTS clock_id ON clock (id);

CREATE TABLE IF NOT EXISTS tenants (document, id AS (json_extract(document, '$.tenant_id')));
CREATE UNIQUE INDEX IF NOT EXISTS tenants_id ON tenants (id);

CREATE TABLE IF NOT EXISTS api_keys (
    document,
    id AS (json_extract(document, '$.shown.key_id')),
    tenant AS (json_extract(document, '$.shown.tenant_id')),
    prefix AS (json_extract(document, '$.shown.key_prefix'))
);
CREATE UNIQUE INDEX IF NOT EXISTS api_keys_id ON api_keys (id);
CREATE INDEX IF NOT EXISTS api_keys_prefix ON api_keys (prefix);
CREATE INDEX IF NOT EXISTS api_keys_tenant ON api_keys (tenant, id);

CREATE TABLE IF NOT EXISTS ledgers (
    document,
    scope AS (json_extract(document, '$.scope')),
    unit AS (json_extract(document, '$.unit')),
    tenant AS (json_extract(document, '$.tenant_id'))
);
CREATE UNIQUE INDEX IF NOT EXISTS ledgers_id ON ledgers (scope, unit);
CREATE INDEX IF NOT EXISTS ledgers_tenant ON ledgers (tenant, scope, unit);

-- The answers that are given again for a repeated idempotency key.
CREATE TABLE IF NOT EXISTS replays (
    document,
    space AS (json_extract(document, '$.space')),
    key AS (json_extract(document, '$.key')),
    until_ms AS (json_extract(document, '$.until_ms'))
);
CREATE UNIQUE INDEX IF NOT EXISTS replays_id ON replays (space, key);
CREATE INDEX IF NOT EXISTS replays_until ON replays (until_ms);

-- An index for each sort_by, of the same name, so that lists stay fast.
CREATE TABLE IF NOT EXISTS reservations (
    document,
    reservation_id AS (json_extract(document, '$.body.reservation_id')),
    tenant AS (json_extract(document, '$.tenant')),
    status AS (json_extract(document, '$.body.status')),
    idempotency_key AS (json_extract(document, '$.body.idempotency_key')),
    scope_path AS (json_extract(document, '$.body.scope_path')),
    reserved AS (json_extract(document, '$.body.reserved.amount')),
    created_at_ms AS (json_extract(document, '$.body.created_at_ms')),
    expires_at_ms AS (json_extract(document, '$.body.expires_at_ms')),
    finalized_at_ms AS (json_extract(document, '$.body.finalized_at_ms')),
    due_ms AS (json_extract(document, '$.due_ms'))
);
CREATE UNIQUE INDEX IF NOT EXISTS reservations_id ON reservations (reservation_id);
CREATE INDEX IF NOT EXISTS reservations_due ON reservations (status, due_ms);
CREATE INDEX IF NOT EXISTS reservations_tenant ON reservations (tenant, reservation_id);
CREATE INDEX IF NOT EXISTS reservations_key ON reservations (tenant, idempotency_key);
CREATE INDEX IF NOT EXISTS reservations_scope_path ON reservations (tenant, scope_path, reservation_id);
CREATE INDEX IF NOT EXISTS reservations_status ON reservations (tenant, status, reservation_id);
CREATE INDEX IF NOT EXISTS reservations_reserved ON reservations (tenant, reserved, reservation_id);
CREATE INDEX IF NOT EXISTS reservations_created_at_ms ON reservations (tenant, created_at_ms, reservation_id);
CREATE INDEX IF NOT EXISTS reservations_expires_at_ms ON reservations (tenant, expires_at_ms, reservation_id);
