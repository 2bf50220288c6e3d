"""All tables of this app."""

import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

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
            name="Success",
            fields=[
                ("id", models.IntegerField(primary_key=True, serialize=False)),
                ("at", models.DateTimeField()),
            ],
            options={
                "db_table": "housekeeping",
            },
        ),
    ]
