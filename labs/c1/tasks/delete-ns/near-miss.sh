# on: box
# Its loopback is not the namespace.
ip -n myns link set lo down
