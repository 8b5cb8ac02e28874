"""Reconciling: from the desired and the observed state to changes in the cluster, and to statuses."""
