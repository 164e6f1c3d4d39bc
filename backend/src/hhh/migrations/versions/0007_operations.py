"""Operations: API tokens, second factors, the audit log, alerts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("jobs", sa.Column("asked_by", sa.JSON))
    op.add_column("installation", sa.Column("program_version", sa.String(32)))
    _create_tokens()
    _create_second_factor()
    _make_login_failures_anew("expires_at")
    _create_audit_log()
    _create_alerts()


def _create_tokens() -> None:
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("user_id", sa.String(36), sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False, unique=True),
        sa.Column("prefix", sa.String(16), nullable=False),
        sa.Column("scopes", sa.String(100), nullable=False),
        sa.Column("networks", sa.Text, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("expires_at", _MOMENT),
        sa.Column("last_used_at", _MOMENT),
        sa.Column("last_used_address", sa.String(64)),
        sa.Column("revoked_at", _MOMENT),
    )
    op.create_index("ix_api_tokens_user_id", "api_tokens", ["user_id"])


def _create_second_factor() -> None:
    op.add_column("users", sa.Column("sealed_totp", sa.Text))
    op.add_column("users", sa.Column("totp_since", _MOMENT))
    op.add_column("users", sa.Column("totp_step", sa.BigInteger))
    op.add_column("sessions", sa.Column("address", sa.String(64)))
    op.add_column("sessions", sa.Column("client", sa.String(254)))
    op.add_column("sessions", sa.Column("last_seen_at", _MOMENT))
    op.create_table(
        "recovery_codes",
        sa.Column("code_hash", sa.String(64), primary_key=True),
        sa.Column("user_id", sa.String(36), sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("used_at", _MOMENT),
    )
    op.create_index("ix_recovery_codes_user_id", "recovery_codes", ["user_id"])
    op.create_table(
        "known_places",
        sa.Column("user_id", sa.String(36), sa.ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("address", sa.String(64), primary_key=True),
        sa.Column("seen_at", _MOMENT, nullable=False),
    )
    op.create_index("ix_known_places_seen_at", "known_places", ["seen_at"])


def _make_login_failures_anew(pruned_by: str) -> None:
    # Empty: what it had counted for a quarter of an hour. SQLite adds no column that may not be null.
    op.drop_table("login_failures")
    moments = dict.fromkeys(["created_at", pruned_by])
    op.create_table(
        "login_failures",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        *(sa.Column(each, _MOMENT, nullable=False) for each in moments),
    )
    op.create_index("ix_login_failures_account", "login_failures", ["account", "created_at"])
    op.create_index("ix_login_failures_address", "login_failures", ["address", "created_at"])
    op.create_index(f"ix_login_failures_{pruned_by}", "login_failures", [pruned_by])


def _create_audit_log() -> None:
    op.create_table(
        "audit_events",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("actor_kind", sa.String(16), nullable=False),
        sa.Column("actor", sa.String(254), nullable=False),
        sa.Column("token", sa.String(100)),
        sa.Column("address", sa.String(64)),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(254), nullable=False),
        sa.Column("target", sa.String(63)),
        sa.Column("result", sa.String(16), nullable=False),
        sa.Column("request_id", sa.String(64)),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("previous_hash", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("signature", sa.String(88), nullable=False),
    )
    op.create_index("ix_audit_events_at", "audit_events", ["at"])
    for column in ("actor", "action", "subject", "target"):
        op.create_index(f"ix_audit_events_{column}", "audit_events", [column, "seq"])
    op.create_table(
        "audit_head",
        sa.Column("singleton", sa.Integer, primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.CheckConstraint("singleton = 1", name="ck_audit_head_singleton"),
    )
    op.execute(sa.text("INSERT INTO audit_head (singleton, seq, hash) VALUES (1, 0, '')"))
    statements = _POSTGRESQL_RULES if op.get_bind().dialect.name == "postgresql" else _SQLITE_RULES
    for statement in statements:
        op.execute(statement)


#: What is written stays, what is added follows on the end of the chain, and that end moves on with it, by the database
#: itself: nobody has to write it, and it is of an event that is there. Nobody but who takes the triggers away can do
#: otherwise, and the chain tells of that.
_SQLITE_RULES = (
    """
    CREATE TRIGGER audit_events_no_update BEFORE UPDATE ON audit_events
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END
    """,
    """
    CREATE TRIGGER audit_events_no_delete BEFORE DELETE ON audit_events
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END
    """,
    # Before a row is replaced by INSERT OR REPLACE as well, for which no trigger of a deletion runs.
    """
    CREATE TRIGGER audit_events_in_order BEFORE INSERT ON audit_events
    WHEN NOT EXISTS (SELECT 1 FROM audit_head WHERE seq = NEW.seq - 1 AND hash = NEW.previous_hash)
    BEGIN SELECT RAISE(ABORT, 'the audit log has no gaps'); END
    """,
    """
    CREATE TRIGGER audit_events_move_head AFTER INSERT ON audit_events
    BEGIN UPDATE audit_head SET seq = NEW.seq, hash = NEW.hash; END
    """,
    """
    CREATE TRIGGER audit_head_forwards BEFORE UPDATE ON audit_head
    WHEN NEW.seq <> OLD.seq + 1
        OR NOT EXISTS (SELECT 1 FROM audit_events WHERE seq = NEW.seq AND hash = NEW.hash)
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END
    """,
    """
    CREATE TRIGGER audit_head_no_delete BEFORE DELETE ON audit_head
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END
    """,
)
_POSTGRESQL_RULES = (
    """
    CREATE OR REPLACE FUNCTION hhh_audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$
    """,
    """
    CREATE OR REPLACE FUNCTION hhh_audit_move_head() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        UPDATE audit_head SET seq = NEW.seq, hash = NEW.hash WHERE seq = NEW.seq - 1 AND hash = NEW.previous_hash;
        IF NOT FOUND THEN RAISE EXCEPTION 'the audit log has no gaps'; END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE OR REPLACE FUNCTION hhh_audit_forwards() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.seq <> OLD.seq + 1
            OR NOT EXISTS (SELECT FROM audit_events WHERE seq = NEW.seq AND hash = NEW.hash)
        THEN RAISE EXCEPTION 'the audit log is append-only'; END IF;
        RETURN NEW;
    END $$
    """,
    """
    CREATE TRIGGER audit_events_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION hhh_audit_append_only()
    """,
    """
    CREATE TRIGGER audit_events_in_order AFTER INSERT ON audit_events
    FOR EACH ROW EXECUTE FUNCTION hhh_audit_move_head()
    """,
    """
    CREATE TRIGGER audit_head_forwards BEFORE UPDATE ON audit_head
    FOR EACH ROW EXECUTE FUNCTION hhh_audit_forwards()
    """,
    """
    CREATE TRIGGER audit_head_no_delete BEFORE DELETE OR TRUNCATE ON audit_head
    FOR EACH STATEMENT EXECUTE FUNCTION hhh_audit_append_only()
    """,
)


def _create_alerts() -> None:
    op.create_table(
        "alert_channels",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("name", sa.String(63), nullable=False, unique=True),
        sa.Column("sealed_url", sa.Text, nullable=False),
        sa.Column("kinds", sa.JSON),
        sa.Column("targets", sa.JSON),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("last_delivered_at", _MOMENT),
        sa.Column("last_failed_at", _MOMENT),
        sa.Column("last_error", sa.Text),
        sa.Column("sending_until", _MOMENT),
    )
    op.create_table(
        "alert_troubles",
        sa.Column("kind", sa.String(32), primary_key=True),
        sa.Column("subject", sa.String(254), primary_key=True),
        sa.Column("target", sa.String(63)),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("message", sa.JSON, nullable=False),
        sa.Column("since", _MOMENT, nullable=False),
        sa.Column("told_at", _MOMENT, nullable=False),
    )
    op.create_table(
        "alert_deliveries",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("channel_id", sa.String(36), sa.ForeignKey("alert_channels.id", ondelete="CASCADE"), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(254), nullable=False),
        sa.Column("event", sa.String(16), nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_try_at", _MOMENT),
        sa.Column("delivered_at", _MOMENT),
        sa.Column("error", sa.Text),
    )
    op.create_index("ix_alert_deliveries_due", "alert_deliveries", ["next_try_at"])
    op.create_table(
        "alert_watch",
        sa.Column("singleton", sa.Integer, primary_key=True),
        sa.Column("rounds", sa.BigInteger, nullable=False),
        sa.Column("looked_at", _MOMENT),
        sa.CheckConstraint("singleton = 1", name="ck_alert_watch_singleton"),
    )
    op.execute(sa.text("INSERT INTO alert_watch (singleton, rounds) VALUES (1, 0)"))
    op.create_table(
        "lost_workers",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("name", sa.String(254), nullable=False),
        sa.Column("host", sa.String(254), nullable=False),
        sa.Column("heartbeat_at", _MOMENT, nullable=False),
        sa.Column("lost_at", _MOMENT, nullable=False),
    )


def downgrade() -> None:
    for table in ("lost_workers", "alert_watch", "alert_deliveries", "alert_troubles", "alert_channels"):
        op.drop_table(table)
    for table in ("audit_head", "audit_events"):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        for function in ("hhh_audit_append_only", "hhh_audit_move_head", "hhh_audit_forwards"):
            op.execute(f"DROP FUNCTION {function}()")
    for table in ("known_places", "recovery_codes", "api_tokens"):
        op.drop_table(table)
    _make_login_failures_anew("created_at")
    for column in ("address", "client", "last_seen_at"):
        op.drop_column("sessions", column)
    for column in ("sealed_totp", "totp_since", "totp_step"):
        op.drop_column("users", column)
    op.drop_column("installation", "program_version")
    op.drop_column("jobs", "asked_by")
