{{- define "adapter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "adapter.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "adapter.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "adapter.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "adapter.selector" -}}
app.kubernetes.io/name: {{ include "adapter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "adapter.labels" -}}
{{ include "adapter.selector" . }}
app.kubernetes.io/component: metrics
app.kubernetes.io/part-of: {{ include "adapter.name" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- with .Values.customLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "adapter.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "adapter.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The adapter's configuration file. */}}
{{- define "adapter.config" -}}
{{- $rules := .Values.rules.custom | default list -}}
{{- if .Values.rules.default -}}
{{- $rules = append $rules (dict
  "seriesQuery" "{__name__=~\"^container_.*\",container!=\"POD\",namespace!=\"\",pod!=\"\"}"
  "seriesFilters" (list)
  "resources" (dict "overrides" (dict "namespace" (dict "resource" "namespace") "pod" (dict "resource" "pod")))
  "name" (dict "matches" "^container_(.*)$" "as" "")
  "metricsQuery" "sum(<<.Series>>{<<.LabelMatchers>>,container!=\"POD\"}) by (<<.GroupBy>>)") -}}
{{- end -}}
rules:
{{- toYaml $rules | nindent 2 }}
{{- with .Values.rules.external }}
externalRules:
{{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.rules.resource }}
resourceRules:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
