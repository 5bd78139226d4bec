# on: C0w1
# One run, however long, is one connection.
ip netns exec c1 ping -c 8 -i 0.1 100.64.10.1
