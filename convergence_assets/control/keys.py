"""API keys: created, verified by their secret, extended and revoked. Secrets are shown once and stored nowhere."""

import hashlib
import hmac
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, get_args

import sqlalchemy as sa

from convergence_assets.control import audit
from convergence_assets.control.audit import AuditEntry
from convergence_assets.control.ledger_rows import LedgerRow, put_rows
from convergence_assets.control.store import ControlStore
from convergence_assets.control.tables import api_keys as table

Scope = Literal["read", "run"]
"""`run` allows to request, repeat and cancel runs."""
SCOPES: tuple[Scope, ...] = get_args(Scope)
VALID_DAYS = 90
LONGEST_DAYS = 3650
USE_NOTED_EVERY = timedelta(minutes=1)
USE_MIRRORED_EVERY = timedelta(hours=1)
"""A row of the ledger is a statement of the warehouse, and may be billed."""
KEYS_TABLE = "x_meta_api_keys"

_SECRET_BYTES = 32
_LONGEST_SECRET = 200
_NOBODYS = "0" * 64


@dataclass(frozen=True)
class KeyInfo:
    """A stored key; moments are UTC, `prefix` is the readable part of its secret."""

    key_id: str
    tenant_id: str
    prefix: str
    scopes: tuple[str, ...]
    created_by: str
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None

    def is_active(self, now: datetime) -> bool:
        return self.revoked_at is None and now < self.expires_at


@dataclass(frozen=True)
class NewKey:
    """A key that was just created. `secret` is what its holder sends; it cannot be shown again."""

    key_id: str
    secret: str
    expires_at: datetime

    def __repr__(self) -> str:
        return f"NewKey({self.key_id!r})"


class KeyRevoked(Exception):
    """A revoked key stays revoked; create another one."""


class Keys:
    """The API keys of a store. Every method raises `ControlError` where the store fails."""

    def __init__(self, store: ControlStore) -> None:
        self._store = store

    def create(
        self,
        tenant_id: str,
        created_by: str,
        scopes: Collection[str] = SCOPES,
        days: int = VALID_DAYS,
        address: str | None = None,
    ) -> NewKey:
        """Create a key of the tenant, valid for `days`. Raises ValueError for an unknown scope or an invalid `days`."""
        unknown = sorted(set(scopes) - set(SCOPES))
        if unknown or not scopes:
            raise ValueError(f"a key's scopes are among {', '.join(SCOPES)}; not {', '.join(unknown) or 'none'}")
        _check(days)
        prefix = secrets.token_hex(5)
        secret = f"cvg_{prefix}_{secrets.token_urlsafe(_SECRET_BYTES)}"
        now = self._store.now()
        key = KeyInfo(
            key_id=f"key_{secrets.token_hex(8)}",
            tenant_id=tenant_id,
            prefix=prefix,
            scopes=tuple(scope for scope in SCOPES if scope in scopes),
            created_by=created_by,
            created_at=now,
            expires_at=now + timedelta(days=days),
            last_used_at=None,
            revoked_at=None,
        )
        row = vars(key) | {"scopes": " ".join(key.scopes), "secret_hash": _hash(secret)}
        row["key_prefix"] = row.pop("prefix")
        with self._store.write() as connection:
            connection.execute(sa.insert(table), row)
            self._changed(connection, key, AuditEntry(created_by, "key.create", "done", tenant_id, key.key_id, address))
            audit.prune_audit(connection, now)
        return NewKey(key.key_id, secret, key.expires_at)

    def verify(self, secret: str) -> KeyInfo | None:
        """The key of this secret, None where it is unknown, expired or revoked."""
        key, _ = self.check_secret(secret)
        return key

    def check_secret(self, secret: str) -> tuple[KeyInfo | None, str]:
        """As `verify`, with the reason of a refusal for audit and metrics: malformed, unknown, expired or revoked.

        Takes as long for a prefix that does not exist as for a wrong secret: both are hashed and compared.
        """
        words = secret.split("_", 2) if len(secret) <= _LONGEST_SECRET and secret.isascii() else []
        well_formed = len(words) == 3 and words[0] == "cvg"
        with self._store.read() as connection:
            query = sa.select(table).where(table.c.key_prefix == (words[1] if well_formed else ""))
            row = connection.execute(query).one_or_none()
        is_it = hmac.compare_digest(_hash(secret[:_LONGEST_SECRET]), row.secret_hash if row else _NOBODYS)
        if row is None or not is_it:
            return None, "unknown" if well_formed else "malformed"
        key = _info(row)
        if key.revoked_at is not None:
            return None, "revoked"
        return (key, "") if key.is_active(self._store.now()) else (None, "expired")

    def is_use_to_be_noted(self, key: KeyInfo) -> bool:
        """Whether the last recorded use is long enough ago."""
        return key.last_used_at is None or self._store.now() - key.last_used_at >= USE_NOTED_EVERY

    def record_use(self, key: KeyInfo) -> None:
        """Record that a key was used, at most once in `USE_NOTED_EVERY`."""
        now = self._store.now()
        if not self.is_use_to_be_noted(key):
            return
        stale = sa.or_(table.c.last_used_at.is_(None), table.c.last_used_at <= now - USE_NOTED_EVERY)
        with self._store.write() as connection:
            update = sa.update(table).where(table.c.key_id == key.key_id, stale).values(last_used_at=now)
            if not connection.execute(update).rowcount:
                return
            if key.last_used_at is None or now - key.last_used_at >= USE_MIRRORED_EVERY:
                current = _find(connection, key.key_id, key.tenant_id)
                put_rows(connection, [ledger_row(current, now)] if current else [], now)

    def extend(
        self, key_id: str, by: str, days: int = VALID_DAYS, tenant_id: str | None = None, address: str | None = None
    ) -> KeyInfo | None:
        """Make a key valid for so many days from now, never shorter than it is; an expired one becomes valid again.

        None where there is no such key, or not of this tenant. Raises `KeyRevoked`, and ValueError for the days.
        """
        _check(days)
        with self._store.write() as connection:
            key, now = _find(connection, key_id, tenant_id, to_change=True), self._store.now()
            if key is None:
                return None
            if key.revoked_at is not None:
                raise KeyRevoked(f"key {key_id} was revoked; make another one")
            until = max(key.expires_at, now + timedelta(days=days))
            return self._change(connection, key, AuditEntry(by, "key.extend", "done", key.tenant_id, key_id, address),
                                expires_at=until)  # fmt: skip

    def revoke(self, key_id: str, by: str, tenant_id: str | None = None, address: str | None = None) -> KeyInfo | None:
        """Refuse a key from the next request on; a revoked one stays revoked.

        None where there is no such key, or not of this tenant.
        """
        with self._store.write() as connection:
            key = _find(connection, key_id, tenant_id, to_change=True)
            if key is None or key.revoked_at is not None:
                return key
            return self._change(connection, key, AuditEntry(by, "key.revoke", "done", key.tenant_id, key_id, address),
                                revoked_at=self._store.now())  # fmt: skip

    def all(self, tenant_id: str | None = None) -> Sequence[KeyInfo]:
        """Every key, or a tenant's; the newest first."""
        query = sa.select(table).order_by(table.c.created_at.desc(), table.c.key_id)
        with self._store.read() as connection:
            return [_info(row) for row in connection.execute(_of_tenant(query, tenant_id))]

    def state(self, key: KeyInfo) -> str:
        """active, expired or revoked, as of now."""
        if key.revoked_at is not None:
            return "revoked"
        return "active" if key.is_active(self._store.now()) else "expired"

    def active_counts(self) -> dict[str, int]:
        """The number of valid keys by tenant."""
        valid = (table.c.revoked_at.is_(None), table.c.expires_at > self._store.now())
        query = sa.select(table.c.tenant_id, sa.func.count().label("keys")).where(*valid).group_by(table.c.tenant_id)
        with self._store.read() as connection:
            return {row.tenant_id: int(row._mapping["keys"]) for row in connection.execute(query)}

    def _change(self, connection: sa.Connection, key: KeyInfo, entry: AuditEntry, **values: datetime) -> KeyInfo:
        connection.execute(sa.update(table).where(table.c.key_id == key.key_id).values(values))
        changed = KeyInfo(**vars(key) | values)
        self._changed(connection, changed, entry)
        return changed

    def _changed(self, connection: sa.Connection, key: KeyInfo, entry: AuditEntry) -> None:
        now = self._store.now()
        put_rows(connection, [ledger_row(key, now)], now)
        audit.record_entry(connection, entry, now)


def ledger_row(key: KeyInfo, now: datetime) -> LedgerRow:
    """The key's row of `x_meta_api_keys`, without its hash; scopes are joined by spaces."""
    moments = {name: getattr(key, name) for name in ("created_at", "expires_at", "last_used_at", "revoked_at")}
    values = {
        "key_id": key.key_id,
        "tenant_id": key.tenant_id,
        "key_prefix": key.prefix,
        "scopes": " ".join(key.scopes),
        "is_active": key.is_active(now),
        "created_by": key.created_by,
        **{name: moment.isoformat() if moment else None for name, moment in moments.items()},
    }
    return LedgerRow(key.tenant_id, KEYS_TABLE, key.key_id, values)


def _hash(secret: str) -> str:
    # A slow hash protects what people choose. 256 random bits cannot be guessed, and each request pays for the hash.
    return hashlib.sha256(secret.encode()).hexdigest()


def _check(days: int) -> None:
    if not 1 <= days <= LONGEST_DAYS:
        raise ValueError(f"a key is valid for 1 to {LONGEST_DAYS} days; not {days}")


def _find(connection: sa.Connection, key_id: str, tenant_id: str | None, *, to_change: bool = False) -> KeyInfo | None:
    query = _of_tenant(sa.select(table).where(table.c.key_id == key_id), tenant_id)
    row = connection.execute(query.with_for_update() if to_change else query).one_or_none()
    return _info(row) if row else None


def _of_tenant(query: "sa.Select[tuple[object, ...]]", tenant_id: str | None) -> "sa.Select[tuple[object, ...]]":
    return query.where(table.c.tenant_id == tenant_id) if tenant_id is not None else query


def _info(row: "sa.Row[tuple[object, ...]]") -> KeyInfo:
    return KeyInfo(
        row.key_id, row.tenant_id, row.key_prefix, tuple(row.scopes.split()), row.created_by, row.created_at,
        row.expires_at, row.last_used_at, row.revoked_at,
    )  # fmt: skip
