"""What the mock knows of Langfuse: its order of checks, its answers, how spans become observations.

In come the parts of a request; out go an ``answer``, and observations as its API shows them. Seen in
Langfuse 4.16.0; file names in this room are those of that version's source tree.
"""
