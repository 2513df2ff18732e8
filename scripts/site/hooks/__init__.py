"""What MkDocs runs beside its plugins while it builds the site: one purpose a file, named in mkdocs.yml."""
