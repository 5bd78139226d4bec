# on: C0w1
ip netns add c10
export CNI_PATH=/opt/cni/bin NETCONFPATH=/tmp/knetsim/C0w1
cnitool add C0w1 /var/run/netns/c10
