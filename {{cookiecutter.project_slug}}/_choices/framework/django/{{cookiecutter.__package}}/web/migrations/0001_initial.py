"""All tables of this app."""

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="KeptAnswer",
            fields=[
                ("id", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("fingerprint", models.CharField(max_length=64)),
                ("owner", models.CharField(db_index=True, max_length=32)),
                ("answer", models.TextField(default="")),
                ("lease_until", models.DateTimeField(db_index=True, null=True)),
                ("expires_at", models.DateTimeField(db_index=True)),
            ],
            options={
                "db_table": "kept_answers",
            },
        ),
    ]
