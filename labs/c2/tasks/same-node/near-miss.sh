# on: C0w1
# From the worker itself, not from c1.
ip netns exec c4 hostname -I | xargs ping -c 1
