{{/* The release's name, unless it is overridden. */}}
{{- define "voiceplane.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The labels that select a component's pods; a Deployment's selector is immutable. (list $ "operator") */}}
{{- define "voiceplane.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: voiceplane-{{ index . 1 }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
{{- end -}}

{{/* The labels of a component's objects. (list $ "operator") */}}
{{- define "voiceplane.labels" -}}
{{- $root := index . 0 -}}
{{ include "voiceplane.selector" . }}
app.kubernetes.io/component: {{ index . 1 }}
app.kubernetes.io/part-of: voiceplane
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* An image's name. (list $ .Values.operator.image) */}}
{{- define "voiceplane.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- $registry := default $image.registry $root.Values.global.imageRegistry -}}
{{- if $registry }}{{ trimSuffix "/" $registry }}/{{ end -}}
{{- $image.repository -}}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ default $root.Chart.AppVersion $image.tag }}{{ end -}}
{{- end -}}

{{- define "voiceplane.imagePullSecrets" -}}
{{- with .Values.global.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The ServiceAccount of a component. (list $ "operator") */}}
{{- define "voiceplane.serviceAccountName" -}}
{{- $root := index . 0 -}}
{{- default (printf "%s-%s" (include "voiceplane.fullname" $root) (index . 1)) (index $root.Values (index . 1)).serviceAccount.name -}}
{{- end -}}

{{- define "voiceplane.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "voiceplane.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* The scheduling fields of a component's pods. (the component's values) */}}
{{- define "voiceplane.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* The Secrets of the certificates: the existing ones, or cert-manager's. */}}
{{- define "voiceplane.clientTlsSecret" -}}
{{- default (printf "%s-client-tls" (include "voiceplane.fullname" .)) .Values.tls.clientSecret }}
{{- end }}
{{- define "voiceplane.workerTlsSecret" -}}
{{- default (printf "%s-worker-tls" (include "voiceplane.fullname" .)) .Values.tls.workerSecret }}
{{- end }}

{{/* The environment, mount and volume of the workers' clients. */}}
{{- define "voiceplane.clientTlsEnv" -}}
{{- $root := index . 0 }}
{{- $prefix := index . 1 }}
{{- if $root.Values.tls.enabled }}
- {name: {{ $prefix }}CA_FILE, value: /etc/voiceplane-tls/ca.crt}
- {name: {{ $prefix }}CERT_FILE, value: /etc/voiceplane-tls/tls.crt}
- {name: {{ $prefix }}KEY_FILE, value: /etc/voiceplane-tls/tls.key}
{{- end }}
{{- end }}
{{- define "voiceplane.clientTlsMount" -}}
{{- if .Values.tls.enabled }}
- {name: tls, mountPath: /etc/voiceplane-tls, readOnly: true}
{{- end }}
{{- end }}
{{- define "voiceplane.clientTlsVolume" -}}
{{- if .Values.tls.enabled }}
- name: tls
  secret: {secretName: {{ include "voiceplane.clientTlsSecret" . }}, defaultMode: 0440}
{{- end }}
{{- end }}
