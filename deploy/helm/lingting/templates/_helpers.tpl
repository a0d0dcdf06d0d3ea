{{- define "lingting.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- define "lingting.labels" -}}
app.kubernetes.io/name: lingting
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "lingting.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "lingting.secret" -}}
{{ .Values.existingSecret | default (include "lingting.name" .) }}
{{- end }}

{{/* The longest that a stop takes: lead, drain, and 15 s to close. */}}
{{- define "lingting.grace" -}}
{{ add (ceil .Values.drain.leadSeconds) (ceil .Values.drain.seconds) 15 }}
{{- end }}

{{/* What a role reads, but for its role. */}}
{{- define "lingting.env" -}}
- name: LINGTING_DATABASE_URL
  valueFrom: {secretKeyRef: {name: {{ include "lingting.secret" . }}, key: database-url}}
- name: LINGTING_CLUSTER_REDIS_URL
  valueFrom: {secretKeyRef: {name: {{ include "lingting.secret" . }}, key: redis-url}}
- name: LINGTING_LIMITS_URL
  valueFrom: {secretKeyRef: {name: {{ include "lingting.secret" . }}, key: redis-url}}
- name: LINGTING_CLUSTER_SECRET
  valueFrom: {secretKeyRef: {name: {{ include "lingting.secret" . }}, key: cluster-secret}}
- name: POD_IP
  valueFrom: {fieldRef: {fieldPath: status.podIP}}
- name: LINGTING_CLUSTER_NODE
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: LINGTING_HOST
  value: 0.0.0.0
- name: LINGTING_LOG_FORMAT
  value: json
- name: LINGTING_METRICS_PUBLIC
  value: "true"
- name: LINGTING_DRAIN_LEAD_SECONDS
  value: {{ .Values.drain.leadSeconds | quote }}
- name: LINGTING_DRAIN_SECONDS
  value: {{ .Values.drain.seconds | quote }}
{{- range $name, $value := .Values.settings }}
- name: LINGTING_{{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{- define "lingting.podUser" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "lingting.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "lingting.mounts" -}}
volumeMounts:
  - {name: data, mountPath: /var/lib/lingting}
  - {name: tmp, mountPath: /tmp}
{{- end }}

{{- define "lingting.volumes" -}}
volumes:
  - {name: data, emptyDir: {}}
  - {name: tmp, emptyDir: {}}
{{- end }}

{{/* Of a dictionary of root and component: spread over machines where there are several. */}}
{{- define "lingting.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "lingting.labels" .root | nindent 8 }}
        app.kubernetes.io/component: {{ .component }}
{{- end }}
