"""Prints what a reader of Parquet that is not ours finds in a sealed file: duckdb FILE, pyarrow FILE, about FILE."""

import json
import sys


def say(row):
    print(json.dumps({key: value for key, value in row.items() if value is not None}))


def with_duckdb(path):
    import duckdb

    rows = duckdb.execute("SELECT * EXCLUDE (time, lastTime, leaf), epoch_ns(time) AS time, epoch_ns(lastTime) AS lastTime FROM read_parquet(?) ORDER BY seq", [path])
    names = [column[0] for column in rows.description]
    for row in rows.fetchall():
        say(dict(zip(names, row)))


def with_pyarrow(path):
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    # Python's own times know no nanoseconds.
    for name in ["time", "lastTime"]:
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, table[name].cast("int64"))
    for row in table.drop_columns(["leaf"]).to_pylist():
        say(row)


def about(path):
    import pyarrow.parquet

    file = pyarrow.parquet.ParquetFile(path)
    groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
    seqs = [group.column(0).statistics for group in groups]
    leaf = file.schema_arrow.get_field_index("leaf")
    whole = sum(group.column(leaf).statistics.num_values for group in groups)
    say({
        "columns": file.schema_arrow.names,
        "time": str(file.schema_arrow.field("time").type),
        "metadata": {key.decode(): value.decode() for key, value in file.metadata.metadata.items() if key.startswith(b"ringfence")},
        "groups": [{"seq": [seq.min, seq.max]} for seq in seqs],
        "whole": whole,
    })


{"duckdb": with_duckdb, "pyarrow": with_pyarrow, "about": about}[sys.argv[1]](sys.argv[2])
