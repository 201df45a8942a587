{{/* Name of everything of this release. */}}
{{- define "handprint.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "handprint.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "handprint.name" .) }}{{ else }}{{ .Values.serviceAccount.name | default "default" }}{{ end }}
{{- end }}

{{/* Labels by which pods are selected: (list $ "engine"). */}}
{{- define "handprint.selector" -}}
app.kubernetes.io/name: handprint
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "handprint.labels" -}}
{{ include "handprint.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ printf "%s-%s" (index . 0).Chart.Name (index . 0).Chart.Version }}
{{- end }}

{{- define "handprint.image" -}}
{{- with .Values.image }}{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}{{ end }}
{{- end }}

{{/* A setting's environment variable. */}}
{{- define "handprint.variable" -}}
HANDPRINT_{{ . | upper | replace "-" "_" }}
{{- end }}

{{/* Environment of every process. */}}
{{- define "handprint.environment" -}}
- {name: HANDPRINT_BROKERS, value: {{ join "," .Values.kafka.brokers | quote }}}
- {name: HANDPRINT_APPLICATION_ID, value: {{ .Values.applicationId | quote }}}
{{- if .Values.topicPrefix }}
- {name: HANDPRINT_TOPIC_PREFIX, value: {{ .Values.topicPrefix | quote }}}
{{- end }}
- {name: HANDPRINT_PARTITIONS, value: {{ .Values.partitions | quote }}}
- {name: HANDPRINT_REPLICATION_FACTOR, value: {{ .Values.replicationFactor | quote }}}
- {name: HANDPRINT_CONNECT_TIMEOUT, value: "60s"}
- {name: HANDPRINT_LOG_FORMAT, value: "json"}
{{- if .Values.kafka.tls.enabled }}
- {name: HANDPRINT_TLS, value: "true"}
{{- if and .Values.kafka.tls.secret .Values.kafka.tls.ca }}
- {name: HANDPRINT_TLS_CA_FILE, value: /etc/handprint/kafka-tls/ca.crt}
{{- end }}
{{- if .Values.kafka.tls.clientCertificate }}
- {name: HANDPRINT_TLS_CERT_FILE, value: /etc/handprint/kafka-tls/tls.crt}
- {name: HANDPRINT_TLS_KEY_FILE, value: /etc/handprint/kafka-tls/tls.key}
{{- end }}
{{- end }}
{{- if ne .Values.kafka.sasl.mechanism "none" }}
- {name: HANDPRINT_SASL_MECHANISM, value: {{ .Values.kafka.sasl.mechanism | quote }}}
- name: HANDPRINT_SASL_USER
  valueFrom: {secretKeyRef: {name: {{ .Values.kafka.sasl.secret | quote }}, key: user}}
- {name: HANDPRINT_SASL_PASSWORD_FILE, value: /etc/handprint/kafka-sasl/password}
{{- end }}
{{- range $name, $value := .Values.thresholds }}
- {name: {{ include "handprint.variable" $name }}, value: {{ $value | toString | quote }}}
{{- end }}
{{- range $name, $value := .Values.settings }}
- {name: {{ include "handprint.variable" $name }}, value: {{ $value | toString | quote }}}
{{- end }}
{{- end }}

{{/* Mounts of secrets that every process reads. */}}
{{- define "handprint.mounts" -}}
{{- if and .Values.kafka.tls.enabled .Values.kafka.tls.secret }}
- {name: kafka-tls, mountPath: /etc/handprint/kafka-tls, readOnly: true}
{{- end }}
{{- if ne .Values.kafka.sasl.mechanism "none" }}
- {name: kafka-sasl, mountPath: /etc/handprint/kafka-sasl, readOnly: true}
{{- end }}
{{- end }}

{{- define "handprint.volumes" -}}
{{- if and .Values.kafka.tls.enabled .Values.kafka.tls.secret }}
- name: kafka-tls
  secret: {secretName: {{ .Values.kafka.tls.secret | quote }}, defaultMode: 0440}
{{- end }}
{{- if ne .Values.kafka.sasl.mechanism "none" }}
- name: kafka-sasl
  secret: {secretName: {{ .Values.kafka.sasl.secret | quote }}, defaultMode: 0440}
{{- end }}
{{- end }}

{{/* Resources of a container: (list memoryMiB cpu). Memory has no room to burst. */}}
{{- define "handprint.resources" -}}
requests:
  memory: {{ index . 0 }}Mi
  cpu: {{ (index . 1).request | quote }}
limits:
  memory: {{ index . 0 }}Mi
{{- with (index . 1).limit }}
  cpu: {{ . | quote }}
{{- end }}
{{- end }}

{{/* Go's memory limit: 90 % of what the container has beyond caches outside of
     Go's heap and 32 MiB for the program: (list memoryMiB cachesMiB). */}}
{{- define "handprint.gomemlimit" -}}
{{ div (mul (sub (int (index . 0)) (add (int (index . 1)) 32)) 9) 10 }}MiB
{{- end }}

{{- define "handprint.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "handprint.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Probes on the admin listener. */}}
{{- define "handprint.probes" -}}
livenessProbe:
  httpGet: {path: /livez, port: admin}
  periodSeconds: 20
  timeoutSeconds: 5
  failureThreshold: {{ mul .Values.engine.livenessMinutes 3 }}
readinessProbe:
  httpGet: {path: /readyz, port: admin}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 2
{{- end }}
