"""Six dashboards over OpenTrail's events, as saved objects for OpenSearch Dashboards 2.19 and 3.x.

    activity, safety    what is on them: plain data, one panel a few lines
    panels              the words that this data is written in
    visuals             a panel as the visualisation that Dashboards draws
    objects             all of it as saved objects, with ids, references and places: NDJSON
    install             puts them into a Dashboards and reads them back

Nothing here touches events. Fields are CloudTrail's own names as `opensearch.template` maps them; a
free-form member (`requestParameters.…`) can be asked for but never be counted by, since its values
are not kept in a column.
"""
