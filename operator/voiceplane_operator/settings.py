"""The operator's settings: defaults, a YAML file, the environment (VOICEPLANE_OPERATOR_…) and flags."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from voiceplane_common.settings import Section
from voiceplane_common.tls import ClientTlsSection


class OperatorSettings(Section):
    """The operator's settings.

    Attributes:
        namespaces: Comma-separated. Empty: the whole cluster, which needs a ClusterRole.
        kubeconfig: A kubeconfig file. Empty: KUBECONFIG or, in a pod, its ServiceAccount.
        log_level: The lowest level that is logged.
        log_json: Whether logs are JSON, one object per line, rather than text for a terminal.
        health_port: The port of GET /healthz and /readyz. 0: the system chooses one.
        metrics_port: The port of the Prometheus metrics. 0: no metrics.
        workers: Reconciles that may run at the same time.
        resync_seconds: Seconds between complete resyncs.
        stale_seconds: Seconds without an answer from the API server after which /healthz fails.
        tls_ca_file: The CA of the workers' and the operator's certificates. Empty: plain text.
        tls_cert_file: The operator's certificate.
        tls_key_file: The certificate's key.
        tls_server_name: The name that a worker's certificate must have.
    """

    namespaces: str = ""
    kubeconfig: str = ""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_json: bool = True
    health_port: int = Field(default=8081, ge=0, le=65535)
    metrics_port: int = Field(default=9090, ge=0, le=65535)
    workers: int = Field(default=8, ge=1, le=256)
    resync_seconds: int = Field(default=600, ge=1)
    stale_seconds: int = Field(default=600, ge=300)
    tls_ca_file: str = ""
    tls_cert_file: str = ""
    tls_key_file: str = ""
    tls_server_name: str = "voiceplane-worker"

    @model_validator(mode="after")
    def _has_whole_tls(self) -> OperatorSettings:
        _ = self.tls
        return self

    @property
    def tls(self) -> ClientTlsSection:
        """The TLS settings of calls to workers."""
        return ClientTlsSection(
            ca_file=self.tls_ca_file,
            cert_file=self.tls_cert_file,
            key_file=self.tls_key_file,
            server_name=self.tls_server_name,
        )

    @property
    def namespace_list(self) -> tuple[str, ...]:
        """The namespaces; empty for the whole cluster."""
        return tuple(filter(None, (name.strip() for name in self.namespaces.split(","))))
