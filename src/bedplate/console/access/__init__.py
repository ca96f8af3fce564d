"""Who looks at the console: one-time links, tokens, an OpenID Connect provider, and the sessions they open."""
