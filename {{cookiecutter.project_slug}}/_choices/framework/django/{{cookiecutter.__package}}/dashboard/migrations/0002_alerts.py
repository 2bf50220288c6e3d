"""Which threshold of its budget a tenant's spend has crossed, as told."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("dashboard", "0001_initial")]

    operations = [
        migrations.AddField(model_name="standingrow", name="alerted", field=models.BigIntegerField(db_default=0)),
    ]
