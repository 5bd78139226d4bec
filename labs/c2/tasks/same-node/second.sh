# on: C0w1
ip netns exec c4 hostname -I | xargs nsenter --net=/run/netns/c1 ping -c 1
