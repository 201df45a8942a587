{{/* Beginning of the pod spec of what is beside the engine: (list $ "serve" graceSeconds). */}}
{{- define "handprint.podBegin" -}}
{{- $ := index . 0 -}}
serviceAccountName: {{ include "handprint.serviceAccount" $ }}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: {{ index . 2 }}
securityContext: {{- include "handprint.podSecurity" $ | nindent 2 }}
{{- with $.Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels: {{- include "handprint.selector" (list $ (index . 1)) | nindent 14 }}
{{- end }}

{{/* Beginning of its container: (list $ args). */}}
{{- define "handprint.containerBegin" -}}
{{- $ := index . 0 -}}
name: handprint
image: {{ include "handprint.image" $ | quote }}
imagePullPolicy: {{ $.Values.image.pullPolicy }}
args: {{- toYaml (index . 1) | nindent 2 }}
securityContext: {{- include "handprint.containerSecurity" $ | nindent 2 }}
{{- end }}

{{/* The admin listener and the memory limit: (list $ memoryMiB cachesMiB). */}}
{{- define "handprint.processEnvironment" -}}
{{- $ := index . 0 -}}
- name: POD_IP
  valueFrom: {fieldRef: {fieldPath: status.podIP}}
- {name: HANDPRINT_ADMIN_LISTEN, value: "$(POD_IP):{{ $.Values.adminPort }}"}
- {name: GOMEMLIMIT, value: {{ include "handprint.gomemlimit" (list (index . 1) (index . 2)) | quote }}}
{{- end }}
