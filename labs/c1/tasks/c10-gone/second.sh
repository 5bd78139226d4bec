# on: C0w1
# What `knetsim create` has plugged in, by hand: unplugged first, then the namespace.
CNI_PATH=/opt/cni/bin NETCONFPATH=/tmp/knetsim/C0w1 cnitool del C0w1 /var/run/netns/c10
ip netns del c10
