"""What MkDocs runs while it builds the site, next to its plugins: one purpose a file, named in mkdocs.yml.

In come a page's Markdown or HTML, the configuration, or the built site; out goes the same, changed.
Words that readers see are in ``….words.toml`` next to the hook.
"""
