"""What the mock knows of Langfuse: its ingestion contract and how spans become observations.

Seen in Langfuse 4.16.0; file names in this package are those of that version's source tree.
"""
