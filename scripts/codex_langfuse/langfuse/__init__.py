"""What is known about Langfuse: its keys, its ingestion contract, how spans become observations.

Seen in Langfuse 4.16.0; file names in this package are those of that version's source tree.
"""
