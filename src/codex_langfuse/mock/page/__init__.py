"""The mock's own page: what arrived as Langfuse will show it, what left the machine, and what is amiss."""
