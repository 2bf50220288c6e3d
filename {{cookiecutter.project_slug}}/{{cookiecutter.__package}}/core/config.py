"""Settings, read from the environment, `.env` and secret files, in this order. `.env.example` lists them."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, NonNegativeFloat, PositiveFloat, PositiveInt, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from .about import DISTRIBUTION
from .identity_settings import IdentitySettings
from .money import parse_usd
from .provider_settings import ProviderSettings
from .setting_types import Chains, DatabaseUrl, Hosts, Names, Origins, Secrets, Url, secret_faults
from .tenancy_settings import TenancySettings

SESSION_LIFE_S = 12 * 3600

SECRETS_DIR = Path(os.environ.get("SECRETS_DIR", "/run/secrets"))
"""Holds one file per secret, named as the setting. Containers mount their secrets here."""


class Settings(ProviderSettings, IdentitySettings, TenancySettings, BaseSettings):
    """Settings of one process. None is required here; `faults` lists what serving lacks."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_ignore_empty=True,
        hide_input_in_errors=True,  # a DATABASE_URL has a password
        extra="ignore",
        secrets_dir=SECRETS_DIR if SECRETS_DIR.is_dir() else None,
    )

    app_env: Literal["development", "production"] = "production"
    secret_key: Secrets = []
    allowed_hosts: Hosts = ["localhost", "127.0.0.1", "[::1]"]
    cors_allow_origins: Origins = []
    forwarded_allow_ips: str = "127.0.0.1"
    root_path: Annotated[str, Field(pattern=r"^(/[\w.~-]+)*$")] = ""
    request_timeout: PositiveFloat = 30.0
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    workers: PositiveInt = 1
    metrics_token: Secrets = []
    alert_urls: Secrets = []

    database_url: DatabaseUrl = "sqlite:///var/app.sqlite3"

    cycles_base_url: Url = ""
    cycles_admin_url: Url = ""
    cycles_admin_api_key: SecretStr | None = None
    cycles_journal_dir: Path = Path("var/cycles-journal")
    cycles_app: str = DISTRIBUTION
    cycles_connect_timeout: PositiveFloat = 2.0
    cycles_read_timeout: PositiveFloat = 5.0
    cycles_retry_initial_delay: NonNegativeFloat = 0.5
    cycles_retry_multiplier: Annotated[float, Field(gt=0, le=100)] = 2.0
    cycles_retry_max_delay: NonNegativeFloat = 10.0  # a commit should arrive before its hold expires
    # Settings of the SDK that the outbox replaces; `doctor` reports them.
    cycles_retry_enabled: str = ""
    cycles_journal_enabled: str = ""
    cycles_retry_max_attempts: str = ""
    cycles_retry_flush_timeout: str = ""

    dashboard_interval: PositiveFloat = 15.0

    llm_allowed_models: Names = []
    llm_fallbacks: Chains = []
    llm_max_tokens: PositiveInt = 1024
    max_v1_body_bytes: PositiveInt = 20 * 1024 * 1024

    budget_fail_open: bool = False
    budget_fail_open_limit: Annotated[int, BeforeValidator(parse_usd)] | None = None  # microcents

    @classmethod
    def settings_customise_sources(cls, _: type[BaseSettings], **sources: Any) -> tuple[Any, ...]:  # type: ignore[override]
        """Ignore what `.env` sets if the environment has it, even as empty."""
        dotenv = sources["dotenv_settings"]
        dotenv.env_vars = {name: value for name, value in dotenv.env_vars.items() if name.upper() not in os.environ}
        return tuple(sources.values())

    @property
    def development(self) -> bool:
        return self.app_env == "development"

    @property
    def models(self) -> list[str]:
        """The models that callers may name. The first is the default."""
        return [self.llm_model, *(name for name in self.llm_allowed_models if name != self.llm_model)]

    @property
    def fallbacks(self) -> dict[str, list[str]]:
        """The models to try in turn after a model."""
        return {name: chain[place + 1 :] for chain in self.llm_fallbacks for place, name in enumerate(chain[:-1])}

    def scope_of(self, tenant: str) -> str:
        """Return the scope of the ledger that pays for a tenant's calls."""
        return "/".join(f"{level}:{name}" for level, name in self.root_of(tenant).items())

    def retry_delay(self, attempts: int) -> float:
        """Return the seconds to wait after so many failed attempts to settle."""
        delay = self.cycles_retry_initial_delay * self.cycles_retry_multiplier ** min(attempts, 64)
        return min(self.cycles_retry_max_delay, delay)

    def faults(self) -> list[str]:
        """Return the faults that forbid serving, one line each.

        `web.startup.faults` adds models without a price.
        """
        faults = secret_faults("SECRET_KEY", self.secret_key) + self.tenancy_faults() + self.identity_faults()
        if not self.development:
            faults += self._production_faults()
        if not self.cycles_base_url:
            faults.append("CYCLES_BASE_URL is missing: set the URL of the Cycles server")
        faults += self._fallback_faults()
        if self.budget_fail_open and not self.budget_fail_open_limit:
            faults.append("BUDGET_FAIL_OPEN needs BUDGET_FAIL_OPEN_LIMIT: USD per tenant and outage")
        return faults

    def _fallback_faults(self) -> list[str]:
        faults, followed = [], set[str]()
        for chain in self.llm_fallbacks:
            if unknown := [name for name in chain if name not in self.models]:
                faults.append(f"LLM_FALLBACKS: {', '.join(unknown)!r} is not in LLM_ALLOWED_MODELS")
            elif len(chain) < 2:
                faults.append(f"LLM_FALLBACKS: {' > '.join(chain)!r} needs a second model: first > second")
            elif len(set(chain)) < len(chain) or followed & set(chain[:-1]):
                faults.append(f"LLM_FALLBACKS: {' > '.join(chain)} names a model that has fallbacks already")
            followed |= set(chain[:-1])
        return faults

    def _production_faults(self) -> list[str]:
        faults = self.provider_faults()
        if self.metrics_token:
            faults += secret_faults("METRICS_TOKEN", self.metrics_token)
        if "*" in self.allowed_hosts:
            faults.append("ALLOWED_HOSTS must not contain * in production: list the host names")
        if any(part == "*" or part.endswith("/0") for part in self.forwarded_allow_ips.replace(",", " ").split()):
            faults.append("FORWARDED_ALLOW_IPS must not trust every address in production: list the proxies")
        return faults
