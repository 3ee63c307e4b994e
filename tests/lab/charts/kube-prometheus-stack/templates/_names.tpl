{{/* The chart's name in labels. */}}
{{- define "kps.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{/* The prefix of every object of the stack: at most 26 characters, as object names are derived from it. */}}
{{- define "kps.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 26 | trimSuffix "-" -}}
{{- else if contains (include "kps.name" .) .Release.Name -}}
{{- .Release.Name | trunc 26 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "kps.name" .) | trunc 26 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "kps.operator" -}}{{ include "kps.fullname" . }}-operator{{- end -}}
{{- define "kps.prometheus" -}}{{ include "kps.fullname" . }}-prometheus{{- end -}}
{{- define "kps.alertmanager" -}}{{ include "kps.fullname" . }}-alertmanager{{- end -}}
{{- define "kps.admission" -}}{{ include "kps.fullname" . }}-admission{{- end -}}
{{- define "kps.grafana" -}}{{ default (printf "%s-grafana" .Release.Name) .Values.grafana.fullnameOverride }}{{- end -}}
{{- define "kps.kubeStateMetrics" -}}
{{- default (printf "%s-kube-state-metrics" .Release.Name) (index .Values "kube-state-metrics").fullnameOverride -}}
{{- end -}}
{{- define "kps.nodeExporter" -}}
{{- default (printf "%s-prometheus-node-exporter" .Release.Name) (index .Values "prometheus-node-exporter").fullnameOverride -}}
{{- end -}}

{{/* Labels of every object. */}}
{{- define "kps.labels" -}}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.Version | quote }}
app.kubernetes.io/part-of: {{ include "kps.name" . }}
chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
release: {{ .Release.Name | quote }}
heritage: {{ .Release.Service | quote }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels of the objects of a subchart: name, then the release. */}}
{{- define "kps.partLabels" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end -}}

{{/* registry/repository:tag of an image value. */}}
{{- define "kps.image" -}}
{{- if .registry }}{{ .registry }}/{{ end }}{{ .repository }}:{{ .tag }}
{{- end -}}

{{/* The selector of a kind that Prometheus watches: the given one, else all, else the release's own. */}}
{{- define "kps.selector" -}}
{{- $selector := index .spec (printf "%sSelector" .kind) -}}
{{- if $selector -}}
{{ toYaml $selector }}
{{- else if index .spec (printf "%sSelectorNilUsesHelmValues" .kind) -}}
matchLabels:
  release: {{ .root.Release.Name | quote }}
{{- else -}}
{}
{{- end -}}
{{- end -}}

{{- define "kps.kubeStateMetricsLabels" -}}
{{ include "kps.partLabels" (dict "name" "kube-state-metrics" "root" .) }}
app.kubernetes.io/component: metrics
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: kube-state-metrics
app.kubernetes.io/version: {{ trimPrefix "v" (index .Values "kube-state-metrics").image.tag | quote }}
release: {{ .Release.Name }}
{{- with (index .Values "kube-state-metrics").customLabels }}
{{ tpl (toYaml .) $ }}
{{- end }}
{{- end -}}
