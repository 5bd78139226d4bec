# on: box
ip netns add myns
