# on: box
ip netns exec myns ip link set lo up
ip netns exec myns ping -c 3 127.0.0.1
