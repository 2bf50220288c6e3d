"""All tables of this app."""

import functools
import secrets

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("tenants", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Alert",
            fields=[
                ("id", models.CharField(max_length=256, primary_key=True, serialize=False)),
                ("tenant_id", models.CharField(max_length=64, null=True)),
                ("text", models.TextField()),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("next_try_at", models.DateTimeField(db_index=True, default=django.utils.timezone.now)),
                ("delivered_to", models.TextField(default="")),
                ("delivered_at", models.DateTimeField(db_index=True, null=True)),
            ],
            options={
                "db_table": "alerts",
            },
        ),
        migrations.CreateModel(
            name="Balance",
            fields=[
                (
                    "tenant",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="balance",
                        serialize=False,
                        to="tenants.tenant",
                    ),
                ),
                ("at", models.DateTimeField()),
                ("allocated", models.BigIntegerField()),
                ("spent", models.BigIntegerField()),
                ("reserved", models.BigIntegerField()),
                ("remaining", models.BigIntegerField()),
                ("debt", models.BigIntegerField()),
                ("overdraft_limit", models.BigIntegerField()),
                ("is_over_limit", models.BooleanField()),
                ("reported", models.BigIntegerField(default=0)),
            ],
            options={
                "db_table": "balances",
            },
        ),
        migrations.CreateModel(
            name="Success",
            fields=[
                ("id", models.IntegerField(primary_key=True, serialize=False)),
                ("at", models.DateTimeField()),
            ],
            options={
                "db_table": "housekeeping",
            },
        ),
        migrations.CreateModel(
            name="Call",
            fields=[
                (
                    "id",
                    models.CharField(
                        default=functools.partial(secrets.token_hex, 16),
                        max_length=64,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
                ("tenant", models.CharField(max_length=64)),
                ("end_user", models.CharField(max_length=256, null=True)),
                ("route", models.CharField(max_length=256)),
                ("model", models.CharField(default="", max_length=256)),
                ("input_tokens", models.BigIntegerField(default=0)),
                ("output_tokens", models.BigIntegerField(default=0)),
                ("hold", models.BigIntegerField(default=0)),
                ("cost", models.BigIntegerField(default=0)),
                ("uncharged", models.BigIntegerField(default=0)),
                ("outcome", models.CharField(max_length=64)),
                ("scope", models.TextField(null=True)),
                ("reservation_id", models.CharField(max_length=256, null=True)),
                ("request_id", models.CharField(default="", max_length=256)),
                ("duration_ms", models.IntegerField(default=0)),
                ("remaining", models.BigIntegerField(null=True)),
            ],
            options={
                "db_table": "calls",
                "indexes": [
                    models.Index(fields=["tenant", "at", "cost", "outcome", "model"], name="ix_calls_tenant_at"),
                    models.Index(fields=["at", "tenant", "model", "cost", "outcome", "uncharged"], name="ix_calls_at"),
                    models.Index(fields=["request_id", "tenant", "at"], name="ix_calls_request_id_tenant_at"),
                ],
            },
        ),
    ]
