# on: C0w1
# Nobody was deleted.
for _ in {1..6}; do ip netns exec c1 ping -c 1 100.64.10.1; done
