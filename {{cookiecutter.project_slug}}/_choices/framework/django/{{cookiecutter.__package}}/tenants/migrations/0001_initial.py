"""All tables of this app."""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Tenant",
            fields=[
                ("id", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=256)),
                ("status", models.CharField(default="active", max_length=16)),
                ("budget", models.BigIntegerField()),
                ("overdraft", models.BigIntegerField(default=0)),
                ("period_budget", models.BigIntegerField(default=0)),
                ("every", models.CharField(default="none", max_length=8)),
                ("time_zone", models.CharField(default="UTC", max_length=64)),
                ("renews_at", models.DateTimeField(db_index=True, null=True)),
                ("alert_urls", models.TextField(default="")),
                ("sealed_key", models.TextField(default="")),
                ("cycles_key_id", models.CharField(default="", max_length=256)),
                ("cycles_key_name", models.CharField(max_length=256)),
                ("cycles_key_expires_at", models.DateTimeField(null=True)),
                ("retire_at", models.DateTimeField(db_index=True, null=True)),
                ("onboarded", models.BooleanField(default=False)),
                ("observed", models.BooleanField(default=False)),
                ("version", models.IntegerField(db_index=True, default=0)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "db_table": "tenants",
                "ordering": ("id",),
            },
        ),
        migrations.CreateModel(
            name="SignIn",
            fields=[
                ("id", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("used", models.BooleanField(default=False)),
                ("expires_at", models.DateTimeField(db_index=True)),
                ("tenant", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="tenants.tenant")),
            ],
            options={
                "db_table": "sign_ins",
            },
        ),
        migrations.CreateModel(
            name="ApiKey",
            fields=[
                ("id", models.CharField(max_length=16, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=256)),
                ("digest", models.CharField(max_length=64, unique=True)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("last_used_at", models.DateTimeField(null=True)),
                ("revoked_at", models.DateTimeField(null=True)),
                ("tenant", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant")),
            ],
            options={
                "verbose_name": "API key",
                "db_table": "api_keys",
                "ordering": ("created_at",),
            },
        ),
        migrations.CreateModel(
            name="Adjustment",
            fields=[
                ("reference", models.CharField(max_length=256, primary_key=True, serialize=False)),
                ("amount", models.BigIntegerField()),
                ("keeps_above", models.BigIntegerField(null=True)),
                ("idempotency_key", models.CharField(max_length=256)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("done_at", models.DateTimeField(null=True)),
                ("tenant", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant")),
            ],
            options={
                "db_table": "adjustments",
            },
        ),
    ]
