"""How large an answer may become, and where a page ends that would be larger.

PostgreSQL knows the size of a text without reading it, so it adds up sizes and sends what fits: neither the connection nor the
process ever holds more than an answer has. The first row always comes, so that following ``next`` always gets on.
"""

# Eight times the largest single text: a page of ordinary rows never meets it, and 128 answers at a time fit into 1 GB.
MAX_ANSWER = 8 * 2**20
# Of a stream, which writes part after part: what is rendered before other requests have their turn, within some 2 ms.
MAX_PART = 256 * 1024
# What a row has beside its texts: names, ids, times, its author.
ROW = 1024

FITTING = """
SELECT * FROM (
    SELECT sized.*, sum(size) OVER place AS upto, row_number() OVER place AS nth, count(*) OVER () AS listed
    FROM ({rows}) AS sized
    WINDOW place AS (ORDER BY {order} ROWS UNBOUNDED PRECEDING)
) AS fitting WHERE nth = 1 OR upto <= %(max_bytes)s
"""


def fitting(rows: str, order: str) -> str:
    """The first rows of a query that fit into ``max_bytes`` together, at least one.

    ``rows`` has a column ``size``. ``listed`` of each row is how many there were, ``nth`` its place in the ``order``.
    """
    return FITTING.format(rows=rows, order=order)


def size_of(*columns: str) -> str:
    """The SQL of a row's size: its texts, none of which is read for it, and what stands around them."""
    return " + ".join([str(ROW), *(f"coalesce(octet_length({column}), 0)" for column in columns)])
