"""Links to sign in by."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tenants", "0001_initial")]

    operations = [
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
            options={"db_table": "sign_in_links"},
        ),
    ]
