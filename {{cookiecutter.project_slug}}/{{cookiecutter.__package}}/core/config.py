"""Every setting, read from the environment, `.env` and files of secrets (the first that has it). See `.env.example`."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, SecretStr
from pydantic_settings import BaseSettings, DotEnvSettingsSource, EnvSettingsSource, SettingsConfigDict
from pydantic_settings import PydanticBaseSettingsSource as Source
from runcycles import CyclesConfig

from .about import DISTRIBUTION
from .identity_settings import IdentitySettings
from .provider_settings import ProviderSettings
from .setting_types import Names, Secrets, Usd, UsdPair, is_address, secret_faults
from .tenancy_settings import TenancySettings

SESSION_LIFE_S = 12 * 3600

SECRETS_DIR = Path(os.environ.get("SECRETS_DIR", "/run/secrets"))
"""Where a container finds secrets, a file each, named as the setting."""


class Settings(ProviderSettings, IdentitySettings, TenancySettings, BaseSettings):
    """The settings of one process. A missing one is no error here: `faults_by_concern` tells what serving lacks."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        secrets_dir=SECRETS_DIR if SECRETS_DIR.is_dir() else None,
    )

    app_env: Literal["development", "production"] = "production"
    secret_key: Secrets = []
    allowed_hosts: Names = ["localhost", "127.0.0.1", "[::1]"]
    cors_allow_origins: Names = []
    forwarded_allow_ips: str = "127.0.0.1"
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    workers: PositiveInt = 1
    metrics_token: Secrets = []

    database_url: str = "sqlite:///var/app.sqlite3"

    cycles_base_url: str = ""
    cycles_admin_url: str = ""
    cycles_admin_api_key: SecretStr | None = None
    cycles_journal_dir: Path = Path("var/cycles-journal")
    cycles_app: str = DISTRIBUTION
    cycles_connect_timeout: PositiveFloat = 2.0
    cycles_read_timeout: PositiveFloat = 5.0
    cycles_retry_initial_delay: NonNegativeFloat = 0.5
    cycles_retry_multiplier: Annotated[float, Field(gt=0, le=100)] = 2.0
    cycles_retry_max_delay: NonNegativeFloat = 10.0  # a commit should arrive before its hold expires
    # the SDK's; the outbox makes them meaningless, and `doctor` says so
    cycles_retry_enabled: str = ""
    cycles_journal_enabled: str = ""
    cycles_retry_max_attempts: str = ""
    cycles_retry_flush_timeout: str = ""

    dashboard_interval: PositiveFloat = 15.0
    dashboard_old_hold: PositiveFloat = 60.0

    llm_allowed_models: Names = []
    llm_unlisted_price: UsdPair | None = None
    llm_max_tokens: int = 1024

    budget_fail_open: bool = False
    budget_fail_open_limit: Usd | None = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: Source,
        env_settings: Source,
        dotenv_settings: Source,
        file_secret_settings: Source,
    ) -> tuple[Source, ...]:
        """Those of pydantic-settings; but `.env`, the second, does not set what the environment has as empty."""
        if isinstance(dotenv_settings, DotEnvSettingsSource):
            above = {name.lower() for name in os.environ}
            told = dotenv_settings.env_vars.items()
            dotenv_settings.env_vars = {name: text for name, text in told if name not in above}
        return init_settings, env_settings, dotenv_settings, file_secret_settings

    @property
    def development(self) -> bool:
        return self.app_env == "development"

    @property
    def models(self) -> list[str]:
        """The models a caller may ask for. The first is what it gets when it names none."""
        return [self.llm_model, *(name for name in self.llm_allowed_models if name != self.llm_model)]

    def scope_of(self, tenant: str) -> str:
        """The scope of the ledger that a tenant's calls are paid from."""
        return "/".join(f"{level}:{name}" for level, name in self.root_of(tenant).items())

    def cycles_config(self, tenant: str, api_key: str) -> CyclesConfig:
        """The SDK's configuration of one tenant's client; time-outs and delays in seconds."""
        return CyclesConfig(
            base_url=self.cycles_base_url,
            api_key=api_key,
            tenant=self.root_of(tenant)["tenant"],
            app=self.cycles_app,
            connect_timeout=self.cycles_connect_timeout,
            read_timeout=self.cycles_read_timeout,
            retry_enabled=False,
            journal_enabled=False,
        )

    def retry_delay(self, attempts: int) -> float:
        """Return the seconds before a settlement is tried again, after so many failed tries."""
        delay = self.cycles_retry_initial_delay * self.cycles_retry_multiplier ** min(attempts, 64)
        return min(self.cycles_retry_max_delay, delay)

    def faults_by_concern(self) -> dict[str, list[str]]:
        """Return what keeps this configuration from serving, by concern. web/startup.py adds missing prices."""
        return {
            "secrets": self._secret_faults(),
            "tenancy": self.tenancy_faults(),
            "addresses": self._address_faults(),
            "hosts": self._host_faults(),
            "journal": self._journal_faults(),
            "models": self._model_faults(),
            "provider": [] if self.development else self.provider_faults(),
            "identity": self.identity_faults(),
        }

    def _secret_faults(self) -> list[str]:
        metrics = self.metrics_token and not self.development
        faults = secret_faults("METRICS_TOKEN", self.metrics_token) if metrics else []
        return secret_faults("SECRET_KEY", self.secret_key) + faults

    def _address_faults(self) -> list[str]:
        faults = []
        if not self.cycles_base_url:
            faults.append("CYCLES_BASE_URL is missing: the address of the Cycles server")
        for name, url in (
            ("CYCLES_BASE_URL", self.cycles_base_url),
            ("CYCLES_ADMIN_URL", self.cycles_admin_url),
        ):
            if url and not is_address(url):
                faults.append(f"{name} must be an http or https address")
        if not self.database_url.startswith(("sqlite:///", "postgresql://")):
            faults.append("DATABASE_URL must be sqlite:////absolute/path or postgresql://user:password@host/name")
        return faults

    def _host_faults(self) -> list[str]:
        if not self.development and "*" in self.allowed_hosts:
            return ["ALLOWED_HOSTS must not hold * in production: name the hosts"]
        return []

    def _journal_faults(self) -> list[str]:
        try:
            self.cycles_journal_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            probe = self.cycles_journal_dir / ".writable"
            probe.write_bytes(bytes(4096))
            probe.unlink()
        except OSError as error:
            return [f"CYCLES_JOURNAL_DIR {self.cycles_journal_dir} is not writable: {error.strerror}"]
        return []

    def _model_faults(self) -> list[str]:
        faults = []
        if self.llm_max_tokens < 1:
            faults.append("LLM_MAX_TOKENS must be 1 or more")
        if self.budget_fail_open and not self.budget_fail_open_limit:
            faults.append("BUDGET_FAIL_OPEN needs BUDGET_FAIL_OPEN_LIMIT: USD per tenant and outage")
        return faults


# pydantic-settings holds each field's type against every model class there is, and remembers the answer. Asked here,
# before the provider's SDK brings a thousand of them, that takes a tenth of a second less.
_source = EnvSettingsSource(Settings)
for _field in Settings.model_fields.values():
    _source.field_is_complex(_field)
