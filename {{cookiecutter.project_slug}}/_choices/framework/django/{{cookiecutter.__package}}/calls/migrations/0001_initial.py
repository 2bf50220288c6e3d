"""All tables of this app."""

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="CallRow",
            fields=[
                ("id", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("at", models.DateTimeField(db_index=True)),
                ("tenant", models.CharField(max_length=64)),
                ("end_user", models.CharField(max_length=256, null=True)),
                ("route", models.CharField(max_length=256)),
                ("model", models.CharField(max_length=256)),
                ("input_tokens", models.BigIntegerField()),
                ("output_tokens", models.BigIntegerField()),
                ("hold", models.BigIntegerField()),
                ("cost", models.BigIntegerField()),
                ("uncharged", models.BigIntegerField()),
                ("outcome", models.CharField(max_length=64)),
                ("reservation_id", models.CharField(max_length=256, null=True)),
                ("request_id", models.CharField(max_length=256)),
                ("duration_ms", models.IntegerField()),
            ],
            options={
                "verbose_name": "call",
                "db_table": "calls",
                "ordering": ("-at", "id"),
                "indexes": [models.Index(fields=["tenant", "at"], name="ix_calls_tenant_at")],
            },
        ),
    ]
