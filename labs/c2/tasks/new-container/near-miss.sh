# on: C0w2
# On another worker than the one asked for.
ip netns add c4
export CNI_PATH=/opt/cni/bin NETCONFPATH=/tmp/knetsim/C0w2
cnitool add C0w2 /var/run/netns/c4
