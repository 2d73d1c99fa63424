"""The administrators' console: pages made on the server, around the same calls as the HTTP API."""
