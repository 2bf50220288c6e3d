"""When a process last took it upon itself to ask Cycles for a tenant's balances."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("dashboard", "0002_alerts")]

    operations = [
        migrations.AddField(model_name="standingrow", name="claimed_at", field=models.BigIntegerField(db_default=0)),
    ]
