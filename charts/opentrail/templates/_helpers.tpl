{{/* Names, labels, the one securityContext, and the checks that values.schema.json cannot make. */}}

{{- define "opentrail.fullname" -}}
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

{{/* What selects; never changed by an upgrade, so no version is in it. (dict "root" $ "component" "…") */}}
{{- define "opentrail.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "opentrail.labels" -}}
{{ include "opentrail.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* (dict "root" $ "image" .Values.agents.image) */}}
{{- define "opentrail.image" -}}
{{- $repository := .image.repository -}}
{{- with .root.Values.imageRegistry -}}{{- $repository = printf "%s/%s" . $repository -}}{{- end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}
{{- end -}}

{{/* Pod Security "restricted", and a read-only root besides. */}}
{{- define "opentrail.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "opentrail.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* What every pod has. No pod talks to the API server, so none gets a token; and no service links,
     whose OPENTRAIL_… variables would look like settings. (dict "root" $ "component" "…" "values" …) */}}
{{- define "opentrail.pod" -}}
serviceAccountName: {{ include "opentrail.serviceAccountName" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "opentrail.serviceAccountName" -}}
{{- default (printf "%s-%s" (include "opentrail.fullname" .root) .component) .values.serviceAccount.name -}}
{{- end -}}

{{- define "opentrail.hostsNamespace" -}}
{{- default (printf "%s-hosts" .Release.Namespace) .Values.hosts.namespace.name -}}
{{- end -}}

{{/* Where agents of this release connect to, as a JSON list. */}}
{{- define "opentrail.addresses" -}}
{{- if .Values.aggregatorAddresses -}}
{{- toJson .Values.aggregatorAddresses -}}
{{- else -}}
{{- toJson (list (printf "%s-aggregator.%s.svc:%d" (include "opentrail.fullname" .) .Release.Namespace (int .Values.aggregator.service.port))) -}}
{{- end -}}
{{- end -}}

{{/* The Secret with tls.crt, tls.key and ca.crt of a component; empty: the aggregator makes its own. */}}
{{- define "opentrail.tlsSecret" -}}
{{- if .values.tls.existingSecret -}}
{{- .values.tls.existingSecret -}}
{{- else if (default dict .values.enrolment).existingSecret -}}
{{- else if .root.Values.certManager.enabled -}}
{{- printf "%s-%s-tls" (include "opentrail.fullname" .root) .component -}}
{{- end -}}
{{- end -}}

{{/* agent.yaml of one kind of agent. What the chart decides itself is not in its `config`. */}}
{{- define "opentrail.agentConfig" -}}
{{- $ship := dict "addresses" (include "opentrail.addresses" .root | fromJsonArray)
  "tls" (dict "ca" "/etc/opentrail/tls/ca.crt" "certificate" "/etc/opentrail/tls/tls.crt" "key" "/etc/opentrail/tls/tls.key") -}}
{{- if (default dict .values.enrolment).existingSecret -}}
{{- $at := "/var/lib/opentrail-agent/identity" -}}
{{- $_ := set $ship "tls" (dict "ca" (printf "%s/ca.crt" $at) "certificate" (printf "%s/agent.pem" $at) "key" (printf "%s/agent.pem" $at)) -}}
{{- end -}}
{{- $own := dict "name" (include "opentrail.agentName" .) "state" "/var/lib/opentrail-agent" "ship" $ship
  "logging" (dict "format" "json") -}}
{{- toYaml (mergeOverwrite (deepCopy .values.config) $own (dict "logging" (default dict .values.config.logging))) -}}
{{- end -}}

{{/* The same for the pod of `helm test`. */}}
{{- define "opentrail.testConfig" -}}
{{- include "opentrail.agentConfig" (dict "root" . "component" "test" "values" (dict "agentName" .Values.test.agentName "config" (dict "spool" (dict "max_bytes" "128MiB" "reserve_bytes" "16MiB")))) -}}
{{- end -}}

{{- define "opentrail.agentName" -}}
{{- default (printf "%s-%s" (include "opentrail.fullname" .root) .component) .values.agentName -}}
{{- end -}}

{{/* An agent that enrolled is named after its node; OPENTRAIL_NAME is its setting `name`. */}}
{{- define "opentrail.nodeName" -}}
- name: NODE_NAME
  valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
- name: OPENTRAIL_NAME
  value: {{ include "opentrail.agentName" . }}-$(NODE_NAME)
{{- end -}}

{{/* Where host agents enrol. */}}
{{- define "opentrail.enrolmentUrl" -}}
{{- default (printf "https://%s-aggregator-http.%s.svc:%d" (include "opentrail.fullname" .) .Release.Namespace (int .Values.aggregator.http.port)) .Values.hosts.enrolment.url -}}
{{- end -}}

{{/* Names that several pods bear on purpose, as a JSON list; the aggregator takes others for copies. */}}
{{- define "opentrail.sharedNames" -}}
{{- $names := list -}}
{{- range $component := list "agents" "hosts" -}}
{{- $each := index $.Values $component -}}
{{- if and $each.enabled (not (default dict $each.enrolment).existingSecret) -}}
{{- $names = append $names (include "opentrail.agentName" (dict "root" $ "component" $component "values" $each)) -}}
{{- end -}}
{{- end -}}
{{- toJson $names -}}
{{- end -}}

{{- define "opentrail.agentProbes" -}}
# The agent writes its state at least every ten seconds; a silent one hangs. Ready: an aggregator has
# welcomed it. Not being connected is no reason to restart: the spool waits on disk.
livenessProbe:
  exec:
    command: [python, -m, opentrail_agent.probe, live, /var/lib/opentrail-agent]
  initialDelaySeconds: 20
  periodSeconds: 30
  timeoutSeconds: 10
  failureThreshold: 3
readinessProbe:
  exec:
    command: [python, -m, opentrail_agent.probe, ready, /var/lib/opentrail-agent]
  initialDelaySeconds: 3
  periodSeconds: 15
  timeoutSeconds: 10
{{- end -}}

{{/* Names in the aggregator's certificate, as a JSON list. */}}
{{- define "opentrail.hosts" -}}
{{- $name := printf "%s-aggregator" (include "opentrail.fullname" .) -}}
{{- $namespace := .Release.Namespace -}}
{{- $names := list -}}
{{- range $service := list $name (printf "%s-http" $name) -}}
{{- $names = concat $names (list $service (printf "%s.%s" $service $namespace) (printf "%s.%s.svc" $service $namespace) (printf "%s.%s.svc.cluster.local" $service $namespace)) -}}
{{- end -}}
{{- toJson (concat $names .Values.aggregator.tls.extraHosts) -}}
{{- end -}}

{{- define "opentrail.dnsEgress" -}}
- ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
{{- end -}}

{{/* Combinations that cannot work, refused with what to do instead. */}}
{{- define "opentrail.check" -}}
{{- $v := .Values -}}
{{- if not (or $v.aggregator.enabled $v.agents.enabled $v.hosts.enabled) -}}
{{- fail "\n\nopentrail: nothing is enabled: set aggregator.enabled, agents.enabled or hosts.enabled." -}}
{{- end -}}
{{- if and (not $v.aggregator.enabled) (not $v.aggregatorAddresses) -}}
{{- fail "\n\nopentrail: agents have nowhere to send: aggregator.enabled is false, so set aggregatorAddresses to [\"HOST:PORT\"] of one that runs elsewhere." -}}
{{- end -}}
{{- if and $v.certManager.enabled (not $v.certManager.issuerRef.name) -}}
{{- fail "\n\nopentrail: certManager.enabled needs certManager.issuerRef.name: the issuer that signs for the aggregator and its agents." -}}
{{- end -}}
{{- range $component := list "agents" "hosts" -}}
{{- $each := index $v $component -}}
{{- if $each.enabled -}}
{{- if not (or (include "opentrail.tlsSecret" (dict "root" $ "component" $component "values" $each)) (default dict $each.enrolment).existingSecret) -}}
{{- fail (printf "\n\nopentrail: %s need a certificate to be believed: set %s.tls.existingSecret (tls.crt, tls.key, ca.crt), or certManager.enabled (hosts may also enrol: hosts.enrolment.existingSecret).\nAn aggregator of this chart that made its own authority also makes agents' certificates; README.md says how." $component $component) -}}
{{- end -}}
{{- if not $each.config.capture.watch -}}
{{- fail (printf "\n\nopentrail: %s.config.capture.watch is empty: name at least one path to follow." $component) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $v.hosts.enabled (not $v.hosts.paths) -}}
{{- fail "\n\nopentrail: hosts.paths is empty: name the folders of the host that the agents may read, and no more than those." -}}
{{- end -}}
{{- if and $v.hosts.enabled (eq (include "opentrail.hostsNamespace" .) .Release.Namespace) -}}
{{- fail "\n\nopentrail: hosts.namespace.name is the release's own namespace. Agents for host files need hostPath, which Pod Security \"restricted\" and \"baseline\" refuse; in a namespace of their own the exception holds for nothing else." -}}
{{- end -}}
{{- $enrols := and $v.hosts.enabled $v.hosts.enrolment.existingSecret -}}
{{- if and $enrols $v.hosts.tls.existingSecret -}}
{{- fail "\n\nopentrail: hosts.tls.existingSecret and hosts.enrolment.existingSecret are two ways to a certificate: set one." -}}
{{- end -}}
{{- if and $enrols (not $v.hosts.enrolment.url) (not (and $v.aggregator.enabled $v.aggregator.http.exposed)) -}}
{{- fail "\n\nopentrail: hosts.enrolment goes over the aggregator's HTTP port: set aggregator.http.exposed, or hosts.enrolment.url to https://HOST:PORT of one that runs elsewhere." -}}
{{- end -}}
{{- if and $enrols (not $v.hosts.enrolment.url) (include "opentrail.tlsSecret" (dict "root" . "component" "aggregator" "values" $v.aggregator)) -}}
{{- fail "\n\nopentrail: hosts.enrolment needs the authority that the aggregator makes on its volume, but its certificate comes from elsewhere: take the agents' from there too (hosts.tls.existingSecret or certManager), or unset aggregator.tls.existingSecret and certManager.enabled." -}}
{{- end -}}
{{- if and $v.hosts.enabled $v.certManager.enabled (not $v.hosts.tls.existingSecret) (not $v.hosts.enrolment.existingSecret) (ne $v.certManager.issuerRef.kind "ClusterIssuer") -}}
{{- fail "\n\nopentrail: hosts live in another namespace, where a namespaced Issuer signs nothing: set certManager.issuerRef.kind to ClusterIssuer, or hosts.tls.existingSecret." -}}
{{- end -}}
{{- if and $v.agents.enabled (gt (int $v.agents.replicas) 1) $v.agents.sharedFiles -}}
{{- fail "\n\nopentrail: agents.sharedFiles says that all replicas see the same files, and each would send them: set agents.replicas to 1." -}}
{{- end -}}
{{- if and $v.agents.enabled (not $v.agents.sharedFiles) (not $v.agents.receivers) -}}
{{- fail "\n\nopentrail: agents.receivers is empty, so nothing writes into /var/log/sources. Name the containers that receive from the network and write files there, or set agents.sharedFiles with agents.extraVolumes." -}}
{{- end -}}
{{- $monitor := $v.monitoring.serviceMonitor -}}
{{- if and $monitor.enabled (not (and $v.aggregator.enabled $v.aggregator.http.exposed)) -}}
{{- fail "\n\nopentrail: monitoring.serviceMonitor needs /metrics to be reached: set aggregator.http.exposed, and aggregator.networkPolicy.httpFrom to your Prometheus." -}}
{{- end -}}
{{- $http := default dict $v.aggregator.config.http -}}
{{- if and $monitor.enabled (not $monitor.keySecret) (not $http.open_metrics) -}}
{{- fail "\n\nopentrail: /metrics takes an access key: set monitoring.serviceMonitor.keySecret to a Secret with username and password, or aggregator.config.http.open_metrics to true." -}}
{{- end -}}
{{- if and $v.test.keySecret (not (and $v.test.existingSecret $v.aggregator.http.exposed)) -}}
{{- fail "\n\nopentrail: test.keySecret needs test.existingSecret, to send, and aggregator.http.exposed, to look up." -}}
{{- end -}}
{{- $search := default dict $v.aggregator.config.opensearch -}}
{{- if and $search.user (not $v.aggregator.opensearch.existingSecret) -}}
{{- fail "\n\nopentrail: aggregator.config.opensearch.user needs its password: set aggregator.opensearch.existingSecret." -}}
{{- end -}}
{{- if and $v.aggregator.opensearch.existingSecret (not $search.url) -}}
{{- fail "\n\nopentrail: aggregator.opensearch.existingSecret is set, but aggregator.config.opensearch.url is not." -}}
{{- end -}}
{{- if and (or $v.aggregator.opensearch.header $v.aggregator.opensearch.privateAuthority) (not $v.aggregator.opensearch.existingSecret) -}}
{{- fail "\n\nopentrail: aggregator.opensearch.header and privateAuthority are files of a Secret: set aggregator.opensearch.existingSecret." -}}
{{- end -}}
{{- $archive := default dict $v.aggregator.config.archive -}}
{{- if and $v.aggregator.s3.existingSecret (ne (default "local" $archive.destination) "s3") -}}
{{- fail "\n\nopentrail: aggregator.s3.existingSecret is set, but aggregator.config.archive.destination is not s3: events would stay on the volume." -}}
{{- end -}}
{{- end -}}
