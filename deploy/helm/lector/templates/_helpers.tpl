{{- define "lector.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "lector.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "lector.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "lector.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "lector.selector" -}}
app.kubernetes.io/name: {{ include "lector.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "lector.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{ include "lector.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "lector.serviceAccount" -}}
{{- default (include "lector.fullname" .) .Values.serviceAccount.name }}
{{- end }}

{{- /* Combinations that would lose data, or serve without keys by accident. */}}
{{- define "lector.check" -}}
{{- $several := or .Values.autoscaling.enabled (gt (int .Values.replicas) 1) }}
{{- if and $several .Values.data.enabled }}
{{- fail "several servers cannot share one store: set data.enabled=false, and seed.existingClaim or auth.open=true" }}
{{- end }}
{{- if and $several (not .Values.seed.existingClaim) (not .Values.auth.open) }}
{{- fail "each of several servers would make a key of its own: set seed.existingClaim to a volume with a backup (`lector backup`), or auth.open=true" }}
{{- end }}
{{- if and .Values.seed.existingClaim .Values.data.enabled }}
{{- fail "a seed is restored into an empty store at each start: set data.enabled=false" }}
{{- end }}
{{- if and .Values.auth.open .Values.seed.existingClaim }}
{{- fail "auth.open=true means a server without keys, and a seed has keys: set one of them" }}
{{- end }}
{{- if and .Values.auth.open (not .Values.networkPolicy.enabled) }}
{{- fail "auth.open=true needs networkPolicy.enabled=true: otherwise every pod of the cluster can administer the server" }}
{{- end }}
{{- if and .Values.tls.clientCa (not .Values.tls.existingSecret) }}
{{- fail "tls.clientCa needs tls.existingSecret" }}
{{- end }}
{{- end }}
