"""Readers of file formats, one module per format; each turns a file into rows of raw cells.

- `registry`: the reader of each format
- `source`: what a reader returns
- `dsv`, `dsv_records`, `dsv_writing`: delimited text: by DuckDB, record by record, and written again
- `json_rows`, `json_documents`, `json_numbers`: JSON: rows, documents in a stream, exact numbers
- `lines`, `position`: text by lines, and fixed-width text
- `xml_rows`: XML
- `parquet`: Parquet
- `options`: options of readers
- `text_scan`: a scan of a file before it is read
- `intermediate_csv`: the CSV between Python and DuckDB
"""

from __future__ import annotations

__all__: list[str] = []
