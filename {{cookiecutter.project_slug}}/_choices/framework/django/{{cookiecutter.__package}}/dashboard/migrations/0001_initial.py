"""All tables of this app."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("tenants", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="AuditRow",
            fields=[
                ("id", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("at", models.DateTimeField(db_index=True)),
                ("operator", models.CharField(max_length=256)),
                ("action", models.CharField(max_length=64)),
                ("tenant", models.CharField(db_index=True, max_length=64)),
                ("before", models.TextField()),
                ("after", models.TextField(null=True)),
            ],
            options={
                "db_table": "audit",
            },
        ),
        migrations.CreateModel(
            name="HourlyBalanceRow",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "tenant", "hour", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("tenant", models.CharField(max_length=64)),
                ("hour", models.IntegerField(db_index=True)),
                ("allocated", models.BigIntegerField()),
                ("remaining", models.BigIntegerField()),
            ],
            options={
                "db_table": "hourly_balances",
            },
        ),
        migrations.CreateModel(
            name="StandingRow",
            fields=[
                (
                    "tenant",
                    models.OneToOneField(
                        db_column="tenant",
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="standing",
                        serialize=False,
                        to="tenants.tenant",
                    ),
                ),
                ("at", models.DateTimeField()),
                ("scope", models.CharField(max_length=256)),
                ("allocated", models.BigIntegerField()),
                ("spent", models.BigIntegerField()),
                ("reserved", models.BigIntegerField()),
                ("remaining", models.BigIntegerField()),
                ("debt", models.BigIntegerField()),
                ("overdraft_limit", models.BigIntegerField()),
                ("is_over_limit", models.BooleanField()),
                ("mark_at", models.BigIntegerField()),
                ("mark_used", models.BigIntegerField()),
                ("next_at", models.BigIntegerField()),
                ("next_used", models.BigIntegerField()),
                ("alerted", models.BigIntegerField(db_default=0)),
                ("claimed_at", models.BigIntegerField(db_default=0)),
            ],
            options={
                "db_table": "standings",
            },
        ),
    ]
