# on: C0w3
# In a second terminal:
#   knetsim delete container C0w3.shop
#   knetsim create container C0w3.shop
# Here the runtime's work, by hand.
export CNI_PATH=/opt/cni/bin NETCONFPATH=/tmp/knetsim/C0w3
cnitool del C0w3 /var/run/netns/shop
ip netns del shop
ip netns add shop
cnitool add C0w3 /var/run/netns/shop
