# on: base
# Another cable: c4 is gone, but the routers don't know of that.
ip link set C0w2 down
sleep 4
