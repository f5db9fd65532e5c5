"""The benchmark's job in DuckDB: `run.py INPUT GROUP COLUMNS TRACKERS`.

One pass over the file, on one thread, then the totals of each group and the document at which each target was first reached.
COLUMNS and TRACKERS are JSON: the type of each field, and a list of {"name", "amount", "where", "targets"}, in SQL. The rows are written to /dev/null, as the events of
`dictrack run` are.
"""

import json
import sys

import duckdb

path, group = sys.argv[1:3]
columns, trackers = json.loads(sys.argv[3]), json.loads(sys.argv[4])
database = duckdb.connect()
database.execute("PRAGMA threads=1")
# Spelling out the types is faster than letting DuckDB find them out.
types = ", ".join(f"'{name}': '{kind}'" for name, kind in columns.items())
database.execute(
    f"CREATE TEMP TABLE d AS SELECT *, row_number() OVER () AS n "
    f"FROM read_json(?, format = 'newline_delimited', columns = {{{types}}})",
    [path],
)
totals = ", ".join(f'sum({it["amount"]}) FILTER ({it["where"]}) AS "{it["name"]}"' for it in trackers)
database.execute(f'CREATE TEMP TABLE totals AS SELECT "{group}", {totals} FROM d GROUP BY "{group}"')
database.execute("COPY totals TO '/dev/null' (FORMAT json)")
# Only trackers of which a target was reached need the costly part. One sort serves all trackers with the same condition.
most = database.execute("SELECT " + ", ".join(f'max("{it["name"]}")' for it in trackers) + " FROM totals").fetchone()
parts = {}
for it, highest in zip(trackers, most, strict=True):
    if (highest or 0) >= it["targets"][0]:
        parts.setdefault(it["where"], []).append(it)
for where, alike in parts.items():
    sums = ", ".join(f"sum({it['amount']}) OVER w AS s{at}, {it['amount']} AS a{at}" for at, it in enumerate(alike))
    database.execute(
        f'CREATE TEMP TABLE reached AS SELECT "{group}", n, {sums} FROM d WHERE {where} '
        f'WINDOW w AS (PARTITION BY "{group}" ORDER BY n ROWS UNBOUNDED PRECEDING)'
    )
    crossings = " UNION ALL ".join(
        f"SELECT \"{group}\", '{it['name']}' AS tracker, {target} AS target, n FROM reached "
        f"WHERE s{at} >= {target} AND s{at} - a{at} < {target}"
        for at, it in enumerate(alike)
        for target in it["targets"]
    )
    database.execute(f"COPY ({crossings}) TO '/dev/null' (FORMAT json)")
    database.execute("DROP TABLE reached")
