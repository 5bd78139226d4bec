# on: C0w1
# A namespace, but nothing plugs it in.
ip netns add c10
ip -n c10 link set lo up
