# on: box
# A device of that name, but no bridge.
ip link add br0 type veth peer name br1
ip link set br0 up
