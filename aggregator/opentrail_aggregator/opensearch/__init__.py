"""OpenSearch as an index: every kept event of the last 90 days, one plain index per event day.

Before it: consolidate, whose verdicts say which events of the log are kept. After it: search, and
OpenSearch Dashboards. It stands beside the embedded index or in its place, with a cursor of its
own, and nothing of it is needed to start or to answer agents.

    opentrail-events-2026.11.24      the events of that day, `_id` = the event's key
    opentrail-events                 the alias over all days: what is read

`documents` says what is sent, `template` how it is mapped, `classify` what each answer means,
`delivery` sends until every event is in, `indexer` is the role, `engine` answers questions.
"""
