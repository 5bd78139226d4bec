# on: C0w1
ip netns add hand
export CNI_PATH=/opt/cni/bin NETCONFPATH=/tmp/knetsim/C0w1
cnitool add C0w1 /var/run/netns/hand
