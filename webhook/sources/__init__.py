"""I/O for facts: the Kubernetes API server, read only.

Everything here brings raw JSON in, hands it to a projection that the caller passes in, and drops it; nothing here
decides. No thread, socket or file is touched by an import or a constructor: `connect`, `start` and the first request do
that, so a server may build its sources before it forks and start them after.
"""
