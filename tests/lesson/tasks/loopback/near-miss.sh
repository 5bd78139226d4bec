# on: box
# The loopback of the node instead.
ip link set lo up
