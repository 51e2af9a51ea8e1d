"""From what a kubelet said after the failure to the same codes as before it."""
