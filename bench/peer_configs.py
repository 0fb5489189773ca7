"""How each peer is set up: what makes it fastest on this job, and what it loses by that.

The job: follow one file of records, bring each line to another process, and there into a file.
No peer uses TLS here, although ours does: it would only slow them down.
"""

RSYSLOG_GLOBAL = """\
global(workDirectory="{work}" maxMessageSize="64k")
main_queue(queue.type="LinkedList" queue.size="200000" queue.dequeueBatchSize="1024"
  queue.workerThreads="2")
"""
RSYSLOG_AGENT = (
    RSYSLOG_GLOBAL
    + """\
template(name="fw" type="string" string="<13>%timestamp:::date-rfc3339% host ct: %msg%")
module(load="imfile" mode="inotify")
input(type="imfile" File="{corpus}" Tag="ct" freshStartTail="off" addMetadata="off"
  readTimeout="0" persistStateInterval="1000")
"""
)
RSYSLOG_QUEUE = """\
queue.type="LinkedList" queue.size="200000" queue.dequeueBatchSize="1024" \
action.resumeRetryCount="-1\""""
RSYSLOG_RELP_AGENT = (
    RSYSLOG_AGENT
    + """\
module(load="omrelp")
action(type="omrelp" target="127.0.0.1" port="{port}" template="fw" windowSize="1024"
  """
    + RSYSLOG_QUEUE
    + ")\n"
)
RSYSLOG_ZLIB_AGENT = (
    RSYSLOG_AGENT
    + """\
action(type="omfwd" target="127.0.0.1" port="{port}" protocol="tcp" template="fw"
  TCP_Framing="octet-counted" compression.mode="stream:always" zipLevel="1"
  """
    + RSYSLOG_QUEUE
    + ")\n"
)
RSYSLOG_TO_FILE = """\
template(name="raw" type="string" string="%msg%\\n")
action(type="omfile" file="{output}" template="raw" asyncWriting="off" ioBufferSize="1m"
  flushOnTXEnd="off" closeTimeout="1" queue.type="LinkedList" queue.dequeueBatchSize="1024"
  queue.size="200000")
"""
RSYSLOG_RELP_AGGREGATOR = (
    RSYSLOG_GLOBAL
    + """\
module(load="imrelp")
input(type="imrelp" port="{port}" address="127.0.0.1" maxDataSize="64k")
"""
    + RSYSLOG_TO_FILE
)
RSYSLOG_ZLIB_AGGREGATOR = (
    RSYSLOG_GLOBAL
    + """\
module(load="imptcp")
input(type="imptcp" port="{port}" address="127.0.0.1" compression.mode="stream:always")
"""
    + RSYSLOG_TO_FILE
)

SYSLOG_NG_OPTIONS = """\
@version: 3.38
options {{ log-fifo-size(200000); log-msg-size(65536); flush-lines(1000); stats-freq(0); }};
"""
SYSLOG_NG_AGENT = (
    SYSLOG_NG_OPTIONS
    + """\
source s {{ file("{corpus}" flags(no-parse) follow-freq(0.1) log-fetch-limit(1000)
  log-iw-size(100000)); }};
destination d {{ network("127.0.0.1" port({port}) transport("tcp")
  template("<13>1 - - - - - - ${{MESSAGE}}\\n")
  disk-buffer(mem-buf-length(100000) disk-buf-size(2000000000) reliable(no) dir("{work}"))); }};
log {{ source(s); destination(d); flags(flow-control); }};
"""
)
SYSLOG_NG_AGGREGATOR = (
    SYSLOG_NG_OPTIONS
    + """\
source s {{ network(ip("127.0.0.1") port({port}) transport("tcp") flags(no-parse)
  log-fetch-limit(1000) log-iw-size(100000)); }};
destination d {{ file("{output}" template("${{MESSAGE}}\\n")); }};
log {{ source(s); destination(d); flags(flow-control); }};
"""
)

OTEL_SERVICE = """\
service:
  telemetry: {{metrics: {{level: none}}, logs: {{level: warn}}}}
  extensions: [{extensions}]
  pipelines:
    logs: {{receivers: [{receiver}], processors: [{processors}], exporters: [{exporter}]}}
"""
OTEL_FILELOG = """\
receivers:
  filelog:
    include: ["{corpus}"]
    start_at: beginning
    storage: file_storage/offsets
    max_log_size: 1MiB
    poll_interval: 100ms
    retry_on_failure: {{enabled: true, max_elapsed_time: 0}}
"""
OTEL_PERSISTENT_AGENT = (
    """\
extensions:
  file_storage/offsets: {{directory: "{work}/offsets", create_directory: true, fsync: true}}
  file_storage/queue: {{directory: "{work}/queue", create_directory: true, fsync: true}}
"""
    + OTEL_FILELOG
    + """\
exporters:
  otlp:
    endpoint: 127.0.0.1:{port}
    tls: {{insecure: true}}
    compression: zstd
    retry_on_failure: {{enabled: true, max_elapsed_time: 0}}
    sending_queue:
      storage: file_storage/queue
      num_consumers: 4
      queue_size: 200000
      sizer: items
      block_on_overflow: true
      batch: {{flush_timeout: 200ms, min_size: 1000, max_size: 2000}}
"""
    + OTEL_SERVICE.format(
        extensions="file_storage/offsets, file_storage/queue",
        receiver="filelog",
        processors="",
        exporter="otlp",
    )
    .replace("{", "{{")
    .replace("}", "}}")
)
OTEL_BATCHED_AGENT = (
    OTEL_PERSISTENT_AGENT.replace(
        "exporters:\n",
        "processors:\n  batch: {{send_batch_size: 2000, send_batch_max_size: 2000, "
        "timeout: 200ms}}\nexporters:\n",
        1,
    )
    .replace("processors: []", "processors: [batch]")
    .replace("      batch: {{flush_timeout: 200ms, min_size: 1000, max_size: 2000}}\n", "")
)
OTEL_MEMORY_AGENT = (
    OTEL_PERSISTENT_AGENT.replace(
        '  file_storage/queue: {{directory: "{work}/queue", create_directory: true, '
        "fsync: true}}\n",
        "",
    )
    .replace("      storage: file_storage/queue\n", "")
    .replace(", file_storage/queue]", "]")
    .replace("fsync: true", "fsync: false")
)
OTEL_AGGREGATOR = """\
receivers:
  otlp:
    protocols:
      grpc: {{endpoint: "127.0.0.1:{port}", max_recv_msg_size_mib: 64}}
exporters:
  file: {{path: "{output}", format: json, append: true, flush_interval: 100ms}}
""" + OTEL_SERVICE.format(
    extensions="", receiver="otlp", processors="", exporter="file"
).replace("{", "{{").replace("}", "}}")  # fmt: skip
