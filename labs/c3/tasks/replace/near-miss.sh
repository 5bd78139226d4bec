# on: C0w3
# Deleted, and made anew as a bare namespace.
CNI_PATH=/opt/cni/bin NETCONFPATH=/tmp/knetsim/C0w3 cnitool del C0w3 /var/run/netns/shop
ip netns del shop
ip netns add shop
