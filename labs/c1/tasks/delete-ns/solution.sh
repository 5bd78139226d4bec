# on: box
ip netns del myns
