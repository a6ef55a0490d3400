{{/* The name of everything: "greenroom-operator" for a release called greenroom. */}}
{{- define "greenroom.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- printf "%s-operator" (.Release.Name | trunc 54 | trimSuffix "-") -}}
{{- else -}}
{{- printf "%s-greenroom-operator" (.Release.Name | trunc 44 | trimSuffix "-") -}}
{{- end -}}
{{- end }}

{{/* Cluster-scoped objects of two releases of one name stand apart by their namespaces. */}}
{{- define "greenroom.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "greenroom.fullname" .) -}}
{{- end }}

{{- define "greenroom.selectorLabels" -}}
app.kubernetes.io/name: greenroom
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "greenroom.labels" -}}
{{ include "greenroom.selectorLabels" . }}
app.kubernetes.io/part-of: greenroom
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* repository:tag, or repository@digest; call it with (list $ .Values.image). */}}
{{- define "greenroom.image" -}}
{{- $image := index . 1 -}}
{{- $tag := $image.tag | default (index . 0).Chart.AppVersion -}}
{{- if hasPrefix "sha256:" $tag -}}
{{ $image.repository }}@{{ $tag }}
{{- else -}}
{{ $image.repository }}:{{ $tag }}
{{- end -}}
{{- end }}
