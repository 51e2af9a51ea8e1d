"""pullproof: proves, before a pod is scheduled, that its images can be pulled.

The way of the data, one direction only (docs/adr/0001-the-way-of-the-data.md)::

    bytes → review.decode → workload.extract → Reference.parse → policy.resolve → facts.gather → evaluate → decide
          → review.encode → bytes
"""
