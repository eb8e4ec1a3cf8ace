"""Lists of contacts as files: CSV and JSON lines, read piece by piece, and CSV as spreadsheets are given it."""
