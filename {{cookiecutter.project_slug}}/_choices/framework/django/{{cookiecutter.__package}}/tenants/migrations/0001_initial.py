"""All tables of this app."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="TenantRow",
            fields=[
                ("id", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=256)),
                ("status", models.CharField(max_length=16)),
                ("budget", models.BigIntegerField()),
                ("overdraft", models.BigIntegerField()),
                ("sealed_key", models.TextField()),
                ("cycles_key_id", models.CharField(max_length=256)),
                ("cycles_key_name", models.CharField(max_length=256)),
                ("cycles_key_expires_at", models.DateTimeField(null=True)),
                ("retire_at", models.DateTimeField(db_index=True, null=True)),
                ("onboarded", models.BooleanField()),
                ("created_at", models.DateTimeField()),
            ],
            options={
                "verbose_name": "tenant",
                "db_table": "tenants",
                "ordering": ("id",),
            },
        ),
        migrations.CreateModel(
            name="VersionRow",
            fields=[
                ("id", models.IntegerField(primary_key=True, serialize=False)),
                ("version", models.CharField(max_length=36)),
            ],
            options={
                "db_table": "registry_version",
            },
        ),
        migrations.CreateModel(
            name="SignInLinkRow",
            fields=[
                ("digest", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("expires_at", models.DateTimeField(db_index=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_column="tenant", on_delete=django.db.models.deletion.CASCADE, to="tenants.tenantrow"
                    ),
                ),
            ],
            options={
                "db_table": "sign_in_links",
            },
        ),
        migrations.CreateModel(
            name="ApiKeyRow",
            fields=[
                ("id", models.CharField(max_length=16, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=256)),
                ("prefix", models.CharField(max_length=16)),
                ("digest", models.CharField(max_length=64, unique=True)),
                ("created_at", models.DateTimeField()),
                ("last_used_at", models.DateTimeField(null=True)),
                ("revoked_at", models.DateTimeField(null=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_column="tenant", on_delete=django.db.models.deletion.PROTECT, to="tenants.tenantrow"
                    ),
                ),
            ],
            options={
                "verbose_name": "API key",
                "db_table": "api_keys",
                "ordering": ("created_at",),
            },
        ),
        migrations.CreateModel(
            name="AdjustmentRow",
            fields=[
                ("reference", models.CharField(max_length=256, primary_key=True, serialize=False)),
                ("kind", models.CharField(max_length=16)),
                ("amount", models.BigIntegerField()),
                ("idempotency_key", models.CharField(max_length=256)),
                ("created_at", models.DateTimeField()),
                ("done_at", models.DateTimeField(null=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_column="tenant", on_delete=django.db.models.deletion.PROTECT, to="tenants.tenantrow"
                    ),
                ),
            ],
            options={
                "verbose_name": "adjustment",
                "db_table": "adjustments",
            },
        ),
    ]
