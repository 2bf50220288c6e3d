"""By what processes see that the registry has changed."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tenants", "0002_sign_in_links")]

    operations = [
        migrations.CreateModel(
            name="VersionRow",
            fields=[
                ("id", models.IntegerField(primary_key=True, serialize=False)),
                ("version", models.CharField(max_length=36)),
            ],
            options={"db_table": "registry_version"},
        ),
    ]
