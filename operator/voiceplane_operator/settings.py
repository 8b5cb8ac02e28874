"""The operator's settings: defaults, a YAML file, the environment (VOICEPLANE_OPERATOR_…) and flags."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from voiceplane_common.settings import Section
from voiceplane_common.tls import ClientTlsSection


class OperatorSettings(Section):
    """Everything that an operator can be told.

    Attributes:
        namespaces: Comma-separated; empty for the whole cluster, which needs a ClusterRole.
        kubeconfig: A file; empty for KUBECONFIG or, in a pod, its own ServiceAccount.
        log_level: The least severe level that is written.
        log_json: One JSON object a line; otherwise lines for a terminal.
        health_port: GET /healthz; 0 lets the system choose.
        metrics_port: Prometheus metrics over HTTP; 0 turns them off.
        workers: Reconciles at once.
        resync_seconds: How often everything is looked at again, though no change was seen.
        stale_seconds: Watches that have not heard of the API server for so long make /healthz fail.
        tls_ca_file: The authority of the workers' certificates and ours; empty for plain text.
        tls_cert_file: Our certificate.
        tls_key_file: Its key.
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
        """How workers are called."""
        return ClientTlsSection(
            ca_file=self.tls_ca_file,
            cert_file=self.tls_cert_file,
            key_file=self.tls_key_file,
            server_name=self.tls_server_name,
        )

    @property
    def namespace_list(self) -> tuple[str, ...]:
        """The namespaces; none for the whole cluster."""
        return tuple(filter(None, (name.strip() for name in self.namespaces.split(","))))
