# on: C0w1
c4=$(ip netns exec c4 hostname -I)
ip netns exec c1 ping -c 3 $c4
