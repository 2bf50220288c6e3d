"""All tables of this app."""

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="AuditEntry",
            fields=[
                ("id", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("at", models.DateTimeField(db_index=True)),
                ("operator", models.CharField(max_length=256)),
                ("action", models.CharField(max_length=64)),
                ("tenant", models.CharField(db_index=True, max_length=64)),
                ("outcome", models.CharField(max_length=256, null=True)),
            ],
            options={
                "db_table": "audit",
                "ordering": ("-at", "id"),
            },
        ),
    ]
