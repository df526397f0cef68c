"""Rows into SQLite, as a program of its own: `insert.py FILE` prints how many a second went in."""

import json
import os
import sqlite3
import sys
import time

ROWS = 500_000
BATCH = 1_000


def row(number):
    """What `bench/src/append.rs` records, column by column."""
    return (
        number, 1_795_000_000_000_000_000 + number * 7_919, "bank-1", "both", "operation",
        f"9c1f3a5be02d7746-{number // 20}", 1, "customer-service", "customer-service-1", "customer-data", "customer-data-1",
        "100.64.0.3:8080", "http", f"GET /customers/{number % 10_000}", "allow", "", "policies.yaml:12", 3, "enforce", None,
        "answers customers' questions", number, None, None,
    )


def insert(path):
    rows = [row(number) for number in range(ROWS)]
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute(f"CREATE TABLE flows (seq INTEGER PRIMARY KEY, {', '.join(f'c{at}' for at in range(1, len(rows[0])))})")
    insert = f"INSERT INTO flows VALUES ({', '.join('?' * len(rows[0]))})"
    start = time.perf_counter()
    for at in range(0, ROWS, BATCH):
        database.execute("BEGIN")
        database.executemany(insert, rows[at : at + BATCH])
        database.execute("COMMIT")
    took = time.perf_counter() - start
    count = database.execute("SELECT count(*) FROM flows").fetchone()[0]
    database.close()
    if count != ROWS:
        sys.exit(f"{count} rows of {ROWS}")
    print(json.dumps({"perSecond": ROWS / took, "bytesPerRecord": os.path.getsize(path) / ROWS}))


if __name__ == "__main__":
    insert(sys.argv[1])
