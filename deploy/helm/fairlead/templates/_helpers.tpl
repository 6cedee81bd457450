{{- define "fairlead.selector" -}}
app.kubernetes.io/name: fairlead
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "fairlead.labels" -}}
{{ include "fairlead.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* The KubeProxyConfiguration: what the values say, and below it what goes without saying. */}}
{{- define "fairlead.config" -}}
{{- $defaults := dict
      "apiVersion" "kubeproxy.config.k8s.io/v1alpha1"
      "kind" "KubeProxyConfiguration"
      "clientConnection" (dict "kubeconfig" "/var/lib/kube-proxy/kubeconfig.conf") }}
{{- if not .Values.nodeSettings.enabled }}
{{- $_ := set $defaults "conntrack" (dict
      "maxPerCore" 0 "tcpEstablishedTimeout" "0s" "tcpCloseWaitTimeout" "0s") }}
{{- end }}
{{- if .Values.metricsService.enabled }}
{{- $_ := set $defaults "metricsBindAddress" "0.0.0.0:10249" }}
{{- end }}
{{- mergeOverwrite $defaults (deepCopy .Values.config) | toYaml }}
{{- end }}

{{/* The port of an address such as 0.0.0.0:10256. */}}
{{- define "fairlead.port" -}}
{{ regexFind "[0-9]+$" . }}
{{- end }}

{{/* What the daemon's container and the one before it have in common. */}}
{{- define "fairlead.container" -}}
image: {{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
env:
- name: NODE_NAME
  valueFrom:
    fieldRef: {fieldPath: spec.nodeName}
resources: {{- toYaml .Values.resources | nindent 2 }}
volumeMounts:
- {name: config, mountPath: /var/lib/kube-proxy, readOnly: true}
{{- end }}
